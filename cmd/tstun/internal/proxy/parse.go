package proxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// SyntaxError is a value of the command line that cannot be read.
type SyntaxError struct {
	Value   string
	Column  int    // of the fault, in bytes from 1
	Problem string // what is wrong there
	Write   string // what is right
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%q, column %d: %s: write %s", e.Value, e.Column, e.Problem, e.Write)
}

// Rule says what Forward carries from where to where.
type Rule struct {
	Network string // "tcp" or "udp"
	Listen  Endpoint
	To      Endpoint
}

// String returns the form that ParseForward reads.
func (r Rule) String() string { return r.Network + ":" + r.Listen.String() + "=" + r.To.String() }

// ParseForward reads tcp|udp:LOCAL=REMOTE. LOCAL is ADDR:PORT, or a port of
// 127.0.0.1; port 0 is a free one. REMOTE is HOST:PORT. IPv6 addresses are in
// brackets. The error is a *SyntaxError.
func ParseForward(value string) (Rule, error) {
	return parseRule(value, "tcp:8080=10.0.0.2:80", field.listener, field.destination)
}

// ParseExpose reads tcp|udp:PORT=LOCAL. LOCAL is HOST:PORT, or a port of
// 127.0.0.1. The error is a *SyntaxError. Rule.Listen.Host is empty.
func ParseExpose(value string) (Rule, error) {
	return parseRule(value, "tcp:80=127.0.0.1:8080", field.onlyPort, field.localDestination)
}

// ParseListen reads where a server listens: ADDR:PORT, or a port of 127.0.0.1.
// Port 0 is a free one. The error is a *SyntaxError.
func ParseListen(value string) (Endpoint, error) {
	return field{value, value, 0, "127.0.0.1:1080"}.listener()
}

// ParseDestination reads HOST:PORT. The error is a *SyntaxError.
func ParseDestination(value string) (Endpoint, error) {
	return field{value, value, 0, "10.0.0.2:22"}.destination()
}

func parseRule(value, example string, listen, to func(field) (Endpoint, error)) (r Rule, err error) {
	whole := field{value, value, 0, example}
	for _, network := range []string{"tcp", "udp"} {
		if strings.HasPrefix(value, network+":") {
			r.Network = network
		}
	}
	if r.Network == "" {
		return Rule{}, whole.fault(0, "neither tcp: nor udp: is in front")
	}
	equals := strings.IndexByte(value, '=')
	if equals < 0 {
		return Rule{}, whole.fault(len(value), "there is no = and nothing behind it")
	}
	if r.Listen, err = listen(whole.part(len("tcp:"), equals)); err != nil {
		return Rule{}, err
	}
	if r.To, err = to(whole.part(equals+1, len(value))); err != nil {
		return Rule{}, err
	}
	return r, nil
}

// field is a part of a value that holds an address.
type field struct {
	value   string
	text    string
	start   int    // of text in value
	example string // of a value
}

func (f field) part(start, end int) field {
	return field{f.value, f.text[start:end], f.start + start, f.example}
}

func (f field) fault(at int, format string, args ...any) error {
	return &SyntaxError{f.value, f.start + at + 1, fmt.Sprintf(format, args...), f.example}
}

const (
	loopback  = "127.0.0.1"
	localhost = "localhost"
)

// listener reads ADDR:PORT or PORT.
func (f field) listener() (Endpoint, error) {
	e, err := f.endpoint(loopback, 0)
	if err != nil {
		return Endpoint{}, err
	}
	if e.Host == localhost {
		e.Host = loopback
	}
	if _, ok := e.addr(); !ok {
		return Endpoint{}, f.fault(0, "%q is no address of this host", e.Host)
	}
	return e, nil
}

// destination reads HOST:PORT.
func (f field) destination() (Endpoint, error) { return f.endpoint("", 1) }

// localDestination reads HOST:PORT or PORT.
func (f field) localDestination() (Endpoint, error) { return f.endpoint(loopback, 1) }

// onlyPort reads PORT.
func (f field) onlyPort() (Endpoint, error) {
	port, err := f.port(0, 1)
	return Endpoint{Port: port}, err
}

// endpoint reads HOST:PORT, or a port alone if there is an otherHost. Ports are
// at least lowest.
func (f field) endpoint(otherHost string, lowest uint64) (Endpoint, error) {
	colon := strings.LastIndexByte(f.text, ':')
	if strings.HasPrefix(f.text, "[") {
		return f.bracketed(lowest)
	}
	if colon < 0 && (otherHost == "" || f.text == "") {
		return Endpoint{}, f.fault(len(f.text), "there is no port")
	}
	port, err := f.port(colon+1, lowest)
	if err != nil || colon < 0 {
		return Endpoint{otherHost, port}, err
	}
	host := f.text[:colon]
	return Endpoint{host, port}, f.checkHost(host)
}

// bracketed reads [IPv6]:PORT.
func (f field) bracketed(lowest uint64) (Endpoint, error) {
	end := strings.IndexByte(f.text, ']')
	if end < 0 {
		return Endpoint{}, f.fault(0, "the bracket is not closed")
	}
	host := f.text[1:end]
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() {
		return Endpoint{}, f.fault(1, "%q is no IPv6 address", host)
	}
	if !strings.HasPrefix(f.text[end+1:], ":") {
		return Endpoint{}, f.fault(end+1, "there is no port")
	}
	port, err := f.port(end+2, lowest)
	return Endpoint{host, port}, err
}

func (f field) port(at int, lowest uint64) (uint16, error) {
	text := f.text[at:]
	if text == "" {
		return 0, f.fault(at, "there is no port")
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port < lowest {
		return 0, f.fault(at, "%q is no port number from %d to 65535", text, lowest)
	}
	return uint16(port), nil
}

const maxName = 253 // characters of a name. RFC 1035 §2.3.4, less the lengths

// checkHost wants an IPv4 address, or what can be the name of a host.
func (f field) checkHost(host string) error {
	if host == "" {
		return f.fault(0, "there is no host in front of the colon; 0.0.0.0 stands for all addresses")
	}
	if strings.Contains(host, ":") {
		return f.fault(0, "an IPv6 address needs brackets, [%s]", host)
	}
	if len(host) > maxName {
		return f.fault(maxName, "a name has at most %d characters", maxName)
	}
	if i := strings.IndexFunc(host, isNoNameRune); i >= 0 {
		return f.fault(i, "%q cannot be in a name", host[i:i+1])
	}
	return nil
}

// isNoNameRune reports whether r is in no name. RFC 1123 §2.1, and the
// underscore that is there all the same.
func isNoNameRune(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !letter && !('0' <= r && r <= '9') && r != '-' && r != '.' && r != '_'
}
