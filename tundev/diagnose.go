package tundev

// A Finding is one explanation of why a TUN could not be made or does not
// work.
type Finding struct {
	Code     string `json:"code"`     // stable name of the cause, for programs; the package comment lists them
	Cause    string `json:"cause"`    // what is wrong, in one sentence
	Advice   string `json:"advice"`   // the one thing to do about it
	Evidence string `json:"evidence"` // what was seen that says so
}

// String is the finding on one line, for logs.
func (f Finding) String() string {
	return f.Code + ": " + f.Cause + " (" + f.Evidence + "): " + f.Advice
}

// Diagnose explains why creating the interface called name, or using it,
// failed with err, the likeliest cause first. For every error it says at least
// what was seen; the first finding's evidence ends with what the system is like:
// release, device node, driver, capabilities, namespaces, cgroup. With a nil
// error it reports what would stand in the way, nothing if all is well.
//
// An advice names all that has to be done, also what the next attempt would meet
// otherwise.
//
// It reads the error and the system and changes nothing: it loads no module,
// makes no node and no interface. The one device that it opens, and closes
// again, is /dev/net/tun, when the driver is there: access is tested before
// anything is said about modules. It may take a moment, since on Linux it
// looks for the holder of a busy name in every process that it may see, and for
// the interface by rtnetlink.
func Diagnose(name string, err error) []Finding {
	return thisSystem().diagnose(name, err)
}
