package record

// Memory is what many records are decoded into, one after the other: after
// Reset their intents and outcomes are used again. The nil Memory allocates
// anew each time.
type Memory struct {
	// Window is for whoever reads the bytes that are decoded.
	Window []byte

	intents  again[intentRoom]
	outcomes again[Outcome]
	packed   string // the last packed SHA-256 that was read, and its text
	hash     string
}

// intentRoom is an intent with room for its candidates.
type intentRoom struct {
	Intent
	considered []Considered
}

// Reset ends the use of all records that were decoded into m.
func (m *Memory) Reset() {
	m.intents.reset()
	m.outcomes.reset()
}

func (m *Memory) intent() *intentRoom {
	if m == nil {
		return new(intentRoom)
	}
	return m.intents.next()
}

func (m *Memory) outcome() *Outcome {
	if m == nil {
		return new(Outcome)
	}
	return m.outcomes.next()
}

// considered returns n candidates, in room where that is enough.
func considered(room []Considered, n int) []Considered {
	if cap(room) < n {
		return make([]Considered, n)
	}
	return room[:n]
}

// again hands out values that live on.
type again[T any] struct {
	all  []*T
	used int
}

func (a *again[T]) next() *T {
	if a.used == len(a.all) {
		a.all = append(a.all, new(T))
	}
	a.used++
	return a.all[a.used-1]
}

// reset lets go of what was not needed since the last one, half at a time:
// a burst does not hold its memory for ever.
func (a *again[T]) reset() {
	if keep := max(a.used, len(a.all)/2); keep < len(a.all) {
		clear(a.all[keep:])
		a.all = a.all[:keep]
	}
	a.used = 0
}
