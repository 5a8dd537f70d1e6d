package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tstun/ipproto"
)

//go:generate go run services_gen.go

// service is a name of a port.
type service struct {
	name  string
	proto ipproto.Proto
	port  uint16
}

// servicePort returns the port of the service of that name, for the protocols
// of the rule. A name that is none of these protocols' is refused: its port
// would be another protocol's.
func servicePort(name string, protos []ipproto.Proto) (uint16, error) {
	var known []string // protocols that know the name
	for _, s := range services {
		if s.name != name {
			continue
		}
		if slices.Contains(protos, s.proto) {
			return s.port, nil
		}
		known = append(known, s.proto.String())
	}
	if len(known) > 0 {
		return 0, fmt.Errorf("service %q: a service of %s: want it in a rule for that, or the port's number", name, enumerated(known))
	}
	if near := nearest(serviceNames(), name); near != "" {
		return 0, fmt.Errorf("service %q: not known: want a port's number, or a service such as %s", name, near)
	}
	return 0, fmt.Errorf("service %q: not known: want a port's number, or a service of Debian's /etc/services, such as https", name)
}

func serviceNames() []string {
	names := make([]string, len(services))
	for i, s := range services {
		names[i] = s.name
	}
	return names
}

// isService reports whether text has the form of a service's name: a letter is
// in it, and nothing but letters, digits, "-", "_", "." and "+".
func isService(text string) bool {
	letter := false
	for _, c := range []byte(text) {
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			letter = true
		case !('0' <= c && c <= '9') && !strings.ContainsRune("-_.+", rune(c)):
			return false
		}
	}
	return letter
}

// errPortZero is for the port that no service can have (RFC 6335 §6).
var errPortZero = errors.New(`port 0 alone is no service's: want "*" for all ports, or a range that begins with 0`)
