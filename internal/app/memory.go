package app

// headRoomBytes is memory that is never touched, so that it costs nothing, and
// that the collector counts as live: a small heap may grow by so much more
// before it is collected again. Without it the few megabytes that are live
// while ten thousand requests a second are served would be collected more than
// ten times in it. A large heap is collected as ever, which GOGC cannot say.
const headRoomBytes = 8 << 20

// newHeadRoom returns the memory, to be kept alive.
func newHeadRoom() []byte { return make([]byte, headRoomBytes) }
