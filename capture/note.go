package capture

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"

	"tstun/filter"
)

// Note is the comment that a packet has in the file: words and pairs of a key and a
// value, separated by single spaces, in the order of the fields here, such as
//
//	verdict=drop reason=no-rule stage=rules policy=17 peer=laptop
//	verdict=accept rule=3 policy=17 wire=192.0.2.1>100.64.0.2 injected
//
// What is not known or does not apply is left out.
type Note struct {
	// Verdict is written as verdict=, a filter.Response, and, of a drop, reason= and
	// stage=, which follows from the reason.
	Verdict filter.Verdict
	// Rule is rule=: what Options.Rule returned.
	Rule string
	// Policy is policy=: filter.Filter's Serial of the filter that was in force. 0: none
	// was.
	Policy uint32
	// Peer is peer=: what Options.Peer returned.
	Peer string
	// WireSrc and WireDst are wire=: the addresses that the packet has on WireGuard's
	// side, if they are others. Ports are the same on both sides.
	WireSrc, WireDst netip.Addr
	// Injected is injected: the packet is the program's, or a reply of the Wrapper's own.
	Injected bool
}

// verdictKey is what a Note begins with.
const verdictKey = "verdict="

// maxName is the length in bytes at which names of rules and peers are cut.
const maxName = 128

// String returns the comment.
func (n Note) String() string {
	b, _ := n.AppendText(nil)
	return string(b)
}

// AppendText appends the comment to b. The error is always nil. In Rule and Peer, what
// would not be one word is replaced by underscores, and more than 128 bytes are cut.
func (n Note) AppendText(b []byte) ([]byte, error) {
	b = append(append(b, verdictKey...), n.Verdict.Response.String()...)
	if r := n.Verdict.Reason; r != filter.ReasonNone {
		b = append(append(b, " reason="...), r.String()...)
		b = append(append(b, " stage="...), r.Stage().String()...)
	}
	b = appendName(b, " rule=", n.Rule)
	if n.Policy != 0 {
		b = strconv.AppendUint(append(b, " policy="...), uint64(n.Policy), 10)
	}
	b = appendName(b, " peer=", n.Peer)
	if n.WireSrc.IsValid() && n.WireDst.IsValid() {
		b = n.WireSrc.AppendTo(append(b, " wire="...))
		b = n.WireDst.AppendTo(append(b, '>'))
	}
	if n.Injected {
		b = append(b, " injected"...)
	}
	return b, nil
}

func appendName(b []byte, key, name string) []byte {
	if name == "" {
		return b
	}
	return append(append(b, key...), word(name)...)
}

// word returns s as one printable word.
func word(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return '_'
		}
		return r
	}, s)
}

// ParseNote returns the Note that a comment is. Words that it does not know it leaves
// out; an error names one whose value is wrong, or says that there is no verdict.
func ParseNote(comment string) (Note, error) {
	n, err := parseNote(comment)
	if err != nil {
		return Note{}, fmt.Errorf("capture: %w", err)
	}
	return n, nil
}

// parseNote is ParseNote for a caller that says capture itself.
func parseNote(comment string) (n Note, err error) {
	known := false
	for w := range strings.SplitSeq(comment, " ") {
		key, value, _ := strings.Cut(w, "=")
		if err := n.set(key, value); err != nil {
			return Note{}, fmt.Errorf("comment %.60q: %q: %w", comment, w, err)
		}
		known = known || key == "verdict"
	}
	if !known {
		return Note{}, fmt.Errorf("comment %.60q has no verdict", comment)
	}
	return n, nil
}

// set sets the field of key.
func (n *Note) set(key, value string) (err error) {
	switch key {
	case "verdict":
		n.Verdict.Response, err = parseResponse(value)
	case "reason":
		err = n.Verdict.Reason.UnmarshalText([]byte(value))
	case "rule":
		n.Rule = value
	case "policy":
		var serial uint64
		serial, err = strconv.ParseUint(value, 10, 32)
		n.Policy = uint32(serial)
	case "peer":
		n.Peer = value
	case "wire":
		err = n.setWire(value)
	case "injected":
		n.Injected = true
	}
	return err
}

func (n *Note) setWire(value string) (err error) {
	src, dst, _ := strings.Cut(value, ">")
	if n.WireSrc, err = netip.ParseAddr(src); err == nil {
		n.WireDst, err = netip.ParseAddr(dst)
	}
	if err == nil && n.WireSrc.Zone()+n.WireDst.Zone() != "" {
		return errors.New("an address of a packet has no zone")
	}
	return err
}

func parseResponse(name string) (filter.Response, error) {
	for r := filter.Drop; r <= filter.Handled; r++ {
		if r.String() == name {
			return r, nil
		}
	}
	return 0, errors.New("no verdict")
}
