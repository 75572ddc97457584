package app

// The exit codes of every command.
const (
	ExitFine    = 0
	ExitWrong   = 1 // input or books are wrong
	ExitUsage   = 2 // the command line is wrong
	ExitRefused = 3 // policy refuses
)

// ExitError is an error with an exit code of its own. A nil Err means that
// the command has already said what there is to say.
type ExitError struct {
	Code int
	Err  error
}

// Error returns the message of Err.
func (e ExitError) Error() string {
	if e.Err == nil {
		return "refused"
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e ExitError) Unwrap() error { return e.Err }
