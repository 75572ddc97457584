package file

// Limits of what is read. They are far above any alliance that people write
// and keep a broken or hostile file from taking the machine's memory or time.
const (
	// MaxFileBytes bounds one file.
	MaxFileBytes = 8 << 20
	// MaxTotalBytes bounds the root file and everything that it includes.
	MaxTotalBytes = 32 << 20
	// MaxFiles bounds the number of files of one alliance.
	MaxFiles = 100
	// MaxIncludeDepth bounds how deep includes may include.
	MaxIncludeDepth = 8
	// MaxNesting bounds how deep lists and objects nest in one file.
	MaxNesting = 32
	// MaxKeys bounds the keys of one object.
	MaxKeys = 2_000
	// MaxMarks bounds the separators of one file: line ends, colons, commas and brackets.
	MaxMarks = 2_000_000
	// MaxTextBytes bounds one text.
	MaxTextBytes = 64 << 10
	// MaxFaults bounds the faults in one report; those beyond it are counted.
	MaxFaults = 1_000
	// maxSuggestions bounds how many faults name the nearest known name, which is costly to find.
	maxSuggestions = 200
)
