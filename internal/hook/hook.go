// Package hook has bash run a command of a configuration file, as wg-quick(8)
// runs PreUp and the like: with errexit, pipefail and extglob, in the C locale,
// and with %i and $INTERFACE for the interface's name. Standard input is empty.
package hook

import (
	"context"
	"strings"
	"unicode"
)

// Run runs command and waits for it. Each line that it writes goes to say, from
// one goroutine. When ctx ends, bash and what it started in its process group
// are killed, and the error is ctx's. What the command leaves running in the
// background goes on, but is not listened to.
//
// The command is not in the arguments or the environment of any process, and is
// in no error.
func Run(ctx context.Context, command, ifname string, say func(line string)) error {
	return run(ctx, strings.ReplaceAll(command, "%i", ifname), ifname, &liner{say: say})
}

// maxLine is how long a line is told, in bytes.
const maxLine = 1024

// liner cuts what is written into lines. Longer ones are told in pieces.
type liner struct {
	say  func(string)
	rest []byte
}

func (l *liner) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == '\n' || len(l.rest) == maxLine {
			l.flush()
		}
		if c != '\n' {
			l.rest = append(l.rest, c)
		}
	}
	return len(p), nil
}

// flush tells a line, without what could steer a terminal.
func (l *liner) flush() {
	line := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\t' {
			return r
		}
		return '�'
	}, string(l.rest))
	l.rest = l.rest[:0]
	if line != "" {
		l.say(line)
	}
}
