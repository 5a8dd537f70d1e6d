package tundev

// A Finding is one explanation of why a TUN could not be made.
type Finding struct {
	Code     string // stable name of the cause, in kebab case, for programs
	Cause    string // what is wrong, in one sentence
	Advice   string // the one thing to do about it
	Evidence string // what was seen that says so
}

// Diagnose explains why creating the interface called name failed with err.
// It looks at the system and changes nothing.
func Diagnose(name string, err error) []Finding {
	return nil
}
