package ledger

// LimitSubjects lets a book count fewer subjects, so that a test can pass the bound.
func (b *Book) LimitSubjects(n int) { b.maxSubjects = n }
