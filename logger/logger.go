// Package logger names the one logging function that the module takes from
// its caller.
package logger

// Logf formats a message as fmt.Sprintf does and logs it. Messages carry no
// trailing newline. Implementations must allow concurrent calls and should
// not block: some are made from the packet path.
type Logf func(format string, args ...any)

// Discard is a Logf that drops every message.
func Discard(string, ...any) {}
