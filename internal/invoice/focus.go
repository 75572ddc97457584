package invoice

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/accordo-ai/accordo/internal/money"
	"github.com/accordo-ai/accordo/internal/record"
)

// attemptTag is the tag, or the key of SkuPriceDetails, by which a row names
// the attempt that it bills.
const attemptTag = "accordo/attempt"

// lineKey is what the rows of one line have in common.
type lineKey struct {
	kind                LineKind
	attempt             record.AttemptID
	period, model, tier string
	contract, pool      string
	row                 int // of a line that stands alone
}

// sum is a line under way.
type sum struct {
	Line
	whole money.Amount
	rest  int64 // fractions of a micro-unit, of 10^-18 units
}

// focusReader gathers rows of Cost and Usage into lines.
type focusReader struct {
	t       *table
	o       Options
	v       *Invoice
	issuers []string
	lines   map[lineKey]*sum
	order   []*sum
	seen    map[[16]byte]struct{}
}

// parseFocus reads Cost and Usage of FOCUS. Rows that bill the same attempt,
// or the same period, model and tier, become one line.
func parseFocus(t *table, o Options) (*Invoice, error) {
	f := &focusReader{t: t, o: o, v: &Invoice{Format: Focus12}, lines: map[lineKey]*sum{}, seen: map[[16]byte]struct{}{}}
	if t.has("ServiceProviderName") {
		f.v.Format = Focus14
	}
	for {
		err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if f.v.Rows++; f.v.Rows > MaxFocusRows {
			return nil, fmt.Errorf("it has more than %d rows: split it by days", MaxFocusRows)
		}
		if err := f.row(); err != nil {
			return nil, fmt.Errorf("line %d: %w", t.number, err)
		}
	}
	if err := f.finish(); err != nil {
		return nil, err
	}
	if o.Detail != nil {
		if err := f.v.detail(o); err != nil {
			return nil, fmt.Errorf("Invoice Detail: %w", err)
		}
	}
	return f.v, nil
}

// wanted reports whether the row is of the issuer and the billing period.
func (f *focusReader) wanted() (bool, error) {
	issuer := f.t.cell("InvoiceIssuerName")
	if f.o.Issuer != "" && !strings.EqualFold(issuer, f.o.Issuer) {
		f.v.Others++
		return false, nil
	}
	if f.o.Month != 0 && f.t.cell("BillingPeriodStart") != "" {
		at, err := instantOf(f.t.cell("BillingPeriodStart"))
		if err != nil {
			return false, fmt.Errorf("BillingPeriodStart: %w", err)
		}
		if int32(at.Year()*100+int(at.Month())) != f.o.Month {
			f.v.Others++
			return false, nil
		}
	}
	if !slices.Contains(f.issuers, issuer) {
		if f.issuers = append(f.issuers, strings.Clone(issuer)); len(f.issuers) > 1 {
			return false, fmt.Errorf("%w, %q and %q: choose one with --issuer", ErrIssuers, f.issuers[0], issuer)
		}
	}
	currency := money.Currency(f.t.cell("BillingCurrency"))
	if f.v.Currency == "" {
		f.v.Currency = money.Currency(strings.Clone(string(currency)))
	}
	if currency != f.v.Currency {
		return false, fmt.Errorf("BillingCurrency is %s, and %s before: an invoice has one currency", currency, f.v.Currency)
	}
	return true, nil
}

func (f *focusReader) row() error {
	if ok, err := f.wanted(); !ok || err != nil {
		return err
	}
	amount, rest, err := decimal(f.t.cell("BilledCost"))
	if err != nil {
		return fmt.Errorf("BilledCost: %w", err)
	}
	l := Line{Number: f.t.number}
	if err := f.describe(&l, amount); err != nil {
		return err
	}
	if amount == 0 && rest == 0 && (l.Kind != Use || f.t.cell("CommitmentDiscountStatus") != "" || l.Tokens.IsZero()) {
		f.v.Covered++ // it charges nothing
		return nil
	}
	l.Again = f.again()
	return f.add(&l, amount, rest)
}

// again reports whether the row repeats another in every cell but its own id.
func (f *focusReader) again() bool {
	h := sha256.New()
	for i, cell := range f.t.row {
		if f.t.header[i] == "InvoiceDetailId" {
			cell = ""
		}
		fmt.Fprintf(h, "%d:%s", len(cell), cell)
	}
	k := [16]byte(h.Sum(nil)[:16])
	_, again := f.seen[k]
	f.seen[k] = struct{}{}
	return again
}

// describe fills what the row charges for.
func (f *focusReader) describe(l *Line, amount money.Amount) (err error) {
	if l.Text, err = f.t.name("ChargeDescription"); err != nil {
		l.Text = f.t.cell("ChargeDescription")[:MaxText] // a sentence, not a name
		l.Text = strings.ToValidUTF8(l.Text, "")
	}
	details := objectOf(f.t.cell("SkuPriceDetails"))
	tags := objectOf(f.t.cell("Tags"))
	switch category := f.t.cell("ChargeCategory"); {
	case category == "Tax":
		l.Kind = Levy
		return nil
	case f.charge(l, amount < 0):
		l.Contract, err = f.contract()
		return err
	case amount < 0:
		l.Kind = Credit
		return nil
	case category == "Purchase":
		l.Kind = Fee
		l.Contract, err = f.contract()
		if f.o.Rules >= 1 && l.Contract == "" && f.t.cell("ChargeFrequency") == "One-Time" {
			l.Kind = Other // a fee recurs, and what is bought once names what it is for
		}
		return err
	case category != "Usage":
		l.Kind = Other
		return nil
	}
	if f.t.cell("AllocatedMethodId") != "" {
		l.Kind = Fee
		l.Pool, err = f.t.name("AllocatedResourceId")
		return err
	}
	return f.use(l, details, tags)
}

// contract is the id by which a row names the contract that it charges.
func (f *focusReader) contract() (string, error) {
	id, err := f.t.name("CommitmentDiscountId")
	if err == nil && id == "" {
		id, err = f.t.name("x_Contract")
	}
	return id, err
}

// charge reports whether the row is a charge of a contract besides its fee,
// and fills in which: by its meter, or where it has none by what it says of
// itself besides the name of the contract.
func (f *focusReader) charge(l *Line, negative bool) bool {
	if f.o.Rules < 1 || f.t.cell("CommitmentDiscountStatus") != "" || f.t.cell("AllocatedMethodId") != "" {
		return false
	}
	words := f.t.cell("SkuMeter")
	if words == "" {
		words = f.t.cell("ChargeDescription")
		if id, err := f.contract(); err == nil && id != "" {
			words = without(words, id)
		}
	}
	kind, ok := chargeOf(negative, words)
	if ok {
		l.Kind = kind
	}
	return ok
}

// without leaves a name out of a text where it stands by itself: a contract k
// takes nothing from the word marketplace.
func without(words, name string) string {
	inWord := func(r rune, _ int) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for from := 0; ; {
		i := strings.Index(words[from:], name)
		if i < 0 {
			return words
		}
		i += from
		before, after := words[:i], words[i+len(name):]
		if inWord(utf8.DecodeLastRuneInString(before)) || inWord(utf8.DecodeRuneInString(after)) {
			from = i + len(name)
			continue
		}
		words, from = before+after, i
	}
}

// use fills what a row of usage says of tokens. One that counts something else
// is a charge of another kind.
func (f *focusReader) use(l *Line, details, tags map[string]string) error {
	m, isToken := meterOf(cmp.Or(pick(details, "x_TokenType", "TokenType"), f.t.cell("SkuMeter"), f.t.cell("ChargeDescription")))
	tokens, counted, err := f.tokens()
	if err != nil {
		return err
	}
	if !isToken || !counted {
		l.Kind = Other
		return nil
	}
	*count(&l.Tokens, m) = tokens
	model, err := f.model(details)
	if err != nil {
		return err
	}
	l.Model = model
	l.Tier = cmp.Or(pick(details, "x_ServiceTier", "ServiceTier", "service_tier"), strings.Clone(f.t.cell("x_ServiceTier")))
	l.Attempt = record.AttemptID(cmp.Or(strings.Clone(f.t.cell("x_AttemptId")), pick(details, attemptTag, "x_AttemptId"), pick(tags, attemptTag, "x_AttemptId", "attempt_id")))
	if len(l.Tier) > MaxText || len(l.Attempt) > MaxText {
		return fmt.Errorf("a name has more than %d bytes", MaxText)
	}
	l.Period, err = f.period()
	return err
}

func (f *focusReader) model(details map[string]string) (string, error) {
	model := cmp.Or(strings.Clone(f.t.cell("x_Model")), pick(details, "x_Model", "Model", "ModelId", "model"))
	version := cmp.Or(strings.Clone(f.t.cell("x_ModelVersion")), pick(details, "x_ModelVersion", "ModelVersion"))
	if model == "" {
		model = strings.Clone(f.t.cell("SkuId"))
		for _, tier := range [...]string{"reserved", "priority", "standard", DefaultTier, "flex", "batch"} {
			model = strings.TrimSuffix(model, "-"+tier)
		}
		version = ""
	}
	if version != "" {
		model += "@" + version
	}
	if len(model) > MaxText {
		return "", fmt.Errorf("the model has more than %d bytes", MaxText)
	}
	return model, nil
}

// tokens reads the consumed quantity, else the priced one, as a count of
// tokens; counted is false when neither counts tokens.
func (f *focusReader) tokens() (n int64, counted bool, err error) {
	for _, of := range [...][2]string{{"ConsumedQuantity", "ConsumedUnit"}, {"PricingQuantity", "PricingUnit"}} {
		text, factor := f.t.cell(of[0]), tokenUnit(f.t.cell(of[1]))
		if text == "" || factor == 0 {
			continue
		}
		micro, rest, err := decimal(text)
		if err != nil {
			return 0, false, fmt.Errorf("%s: %w", of[0], err)
		}
		q, r, ok := money.Product(int64(micro), factor).FloorDiv(money.Micro)
		if r != 0 || rest != 0 || !ok || q < 0 || q > maxTokens {
			return 0, false, fmt.Errorf("%s is %s %s, which is no count of tokens", of[0], text, f.t.cell(of[1]))
		}
		return q, true, nil
	}
	return 0, false, nil
}

// tokenUnit is how many tokens a unit has, 0 when it counts something else.
func tokenUnit(unit string) int64 {
	text := strings.ToLower(strings.ReplaceAll(unit, ",", ""))
	if !strings.Contains(text, "tok") {
		return 0
	}
	switch head := strings.TrimSpace(text[:strings.Index(text, "tok")]); head {
	case "":
		return 1
	case "1k", "k", "thousand":
		return 1_000
	case "1m", "m", "million":
		return 1_000_000
	default:
		n, err := strconv.ParseInt(head, 10, 64)
		if err != nil || n < 1 || n > 1_000_000_000 {
			return 0
		}
		return n
	}
}

// period returns the hour, day or month that the charge is of.
func (f *focusReader) period() (string, error) {
	from, err := instantOf(f.t.cell("ChargePeriodStart"))
	if err != nil {
		return "", fmt.Errorf("ChargePeriodStart: %w", err)
	}
	until := from.Add(time.Hour)
	if text := f.t.cell("ChargePeriodEnd"); text != "" {
		if until, err = instantOf(text); err != nil {
			return "", fmt.Errorf("ChargePeriodEnd: %w", err)
		}
	}
	switch d := until.Sub(from); {
	case d < 0 || d > 31*24*time.Hour:
		return "", errors.New("ChargePeriodStart and ChargePeriodEnd are not within a month of each other: ask for hours or days")
	case d <= time.Hour:
		return from.Format(hourLayout), nil
	case d <= 24*time.Hour:
		return from.Format(time.DateOnly), nil
	}
	return from.Format(monthLayout), nil
}

// add puts the row into its line.
func (f *focusReader) add(l *Line, amount money.Amount, rest int64) error {
	k := lineKey{kind: l.Kind, attempt: l.Attempt, period: l.Period, model: l.Model, tier: l.Tier, contract: l.Contract, pool: l.Pool}
	if k.attempt != "" {
		k.period = "" // an attempt is billed once, whatever the time that the row names
	}
	if l.Again || l.Kind != Use && (l.Kind != Fee || l.Pool == "") && !l.Kind.Gathers() {
		k.row = l.Number
	}
	s := f.lines[k]
	if s == nil {
		s = &sum{Line: *l, whole: amount, rest: rest}
		f.lines[k] = s
		f.order = append(f.order, s)
		return nil
	}
	if len(s.Rows) == 0 {
		s.Rows = append(s.Rows, s.Number)
	}
	s.Rows = append(s.Rows, l.Number)
	s.Tokens = s.Tokens.Add(l.Tokens)
	for m := range Meter(Meters) {
		if *count(&s.Tokens, m) > maxLineTokens {
			return errors.New("the tokens of the rows that bill the same pass any count")
		}
	}
	s.rest += rest
	var err error
	if s.whole, err = s.whole.Add(amount + money.Amount(s.rest/fractions)); err != nil {
		return err
	}
	s.rest %= fractions
	return nil
}

// finish makes lines of the sums, in the order of their first rows.
func (f *focusReader) finish() error {
	var rest int64
	for _, s := range f.order {
		s.Amount = &s.whole
		f.v.Lines = append(f.v.Lines, s.Line)
		rest += s.rest
		f.v.Rest += money.Amount(rest / fractions)
		rest %= fractions
	}
	if len(f.issuers) > 0 {
		f.v.Issuer = f.issuers[0]
	}
	if len(f.v.Lines) == 0 && f.v.Others > 0 {
		return fmt.Errorf("none of its %d rows is of the issuer %q and the month: check --issuer and --month", f.v.Others, f.o.Issuer)
	}
	return nil
}
