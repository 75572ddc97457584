package focus

// erratum is a published rule whose check contradicts its own sentence. It is
// put right only while the check reads as published, so that a later edition
// of the rules is taken as it is.
type erratum struct {
	id                     string
	requirement, condition string // as published
	corrected              func(r *Rule)
	why                    string
}

func notNull(column string) Check { return Check{Function: "CheckNotValue", Column: column} }
func isNull(column string) Check  { return Check{Function: "CheckValue", Column: column} }
func is(column, value string) Check {
	return Check{Function: "CheckValue", Column: column, Value: Text(value)}
}

// errata lists what is known of the rules of version 1.2.
func errata() []erratum {
	return []erratum{
		{
			"CommitmentDiscountStatus-C-003-C", "CheckNotValue(CommitmentDiscountStatus, null)", "CheckValue(CommitmentDiscountId, null)",
			func(r *Rule) { c := isNull("CommitmentDiscountStatus"); r.Requirement = &c },
			"its sentence says null, its check says not null",
		},
		{
			"CommitmentDiscountStatus-C-004-C", "CheckNotValue(CommitmentDiscountStatus, null)", "CheckValue(CommitmentDiscountId, null)",
			func(r *Rule) {
				r.Condition = &Check{Function: and, Items: []Check{notNull("CommitmentDiscountId"), is("ChargeCategory", "Usage")}}
			},
			"its sentence is about rows with a CommitmentDiscountId, its check about rows without",
		},
		{
			"CommitmentDiscountStatus-C-005-M",
			"OR(CheckValue(CommitmentDiscountStatus, Active), CheckValue(CommitmentDiscountStatus, Expired), CheckValue(CommitmentDiscountStatus, Pending))", "",
			func(r *Rule) {
				r.Requirement = &Check{Function: or, Items: []Check{is("CommitmentDiscountStatus", "Used"), is("CommitmentDiscountStatus", "Unused")}}
			},
			"its check allows Active, Expired and Pending, where the rules ConsumedQuantity-C-004-C, DiscountHandling-A-014-C and DiscountHandling-A-018-C require Used and Unused",
		},
		{
			"ConsumedQuantity-C-006-C", "CheckNotValue(ConsumedQuantity, null)", "CheckValue(ChargeClass, Correction)",
			func(r *Rule) {
				r.Condition = &Check{Function: "CheckNotValue", Column: "ChargeClass", Value: Text("Correction")}
			},
			"its sentence is about rows that are not corrections, its check about corrections",
		},
	}
}

func correct(r *Rule) {
	condition := ""
	if r.Condition != nil {
		condition = r.Condition.String()
	}
	for _, e := range errata() {
		if e.id == r.ID && r.Requirement != nil && r.Requirement.String() == e.requirement && condition == e.condition {
			e.corrected(r)
			r.Corrected = e.why
		}
	}
}
