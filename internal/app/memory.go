package app

// headRoomBytes is memory that is never touched, so that it costs nothing, and
// that the collector counts as live: a small heap may grow by so much more
// before it is collected again. Without it the few megabytes that are live
// while ten thousand requests a second are served would be collected more than
// ten times in it. A large heap is collected as ever, which GOGC cannot say.
const headRoomBytes = 8 << 20

// newHeadRoom returns the memory, to be kept alive.
func newHeadRoom() []byte { return make([]byte, headRoomBytes) }

// restAfter is for how many turns of the resolving loop nothing must have been
// journalled for the process to be at rest: half a minute.
const restAfter = 15

// rest notices that nothing has happened for a while.
type rest struct {
	last  uint64 // record of the journal
	turns int    // since it was written
}

// turn is told the last record each time, and reports once that the process
// is at rest.
func (r *rest) turn(last uint64) bool {
	if last != r.last {
		r.last, r.turns = last, 0
	}
	r.turns++
	return r.turns == restAfter
}
