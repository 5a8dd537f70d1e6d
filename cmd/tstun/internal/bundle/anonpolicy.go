package bundle

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tailscale/hujson"
)

// PolicyPath is where the policy file is in an archive.
const PolicyPath = "policy.hujson"

// policy replaces addresses and names in a policy file of our own form, and takes comments
// out. A range becomes a list of prefixes, since what stands for addresses in a row does
// not stand in a row. Rules stay in their lines.
func (a *anonymizer) policy(data []byte) ([]byte, error) {
	v, err := hujson.Parse(append(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), '\n'))
	if err != nil {
		return nil, fmt.Errorf("it is no HuJSON")
	}
	root, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, errOtherForm
	}
	for i := range root.Members {
		m := &root.Members[i]
		if err := a.member(nameOf(m), &m.Value); err != nil {
			return nil, err
		}
	}
	for part := range v.All() {
		part.BeforeExtra, part.AfterExtra = withoutComments(part.BeforeExtra), withoutComments(part.AfterExtra)
		switch c := part.Value.(type) {
		case *hujson.Object:
			c.AfterExtra = withoutComments(c.AfterExtra)
		case *hujson.Array:
			c.AfterExtra = withoutComments(c.AfterExtra)
		}
	}
	return v.Pack(), nil
}

var errOtherForm = fmt.Errorf("it is not in tstun's own form")

func nameOf(m *hujson.ObjectMember) string { return m.Name.Value.(hujson.Literal).String() }

// member replaces what is in a field of the file.
func (a *anonymizer) member(field string, v *hujson.Value) error {
	switch field {
	case "permit":
		return nil
	case "local":
		a.values(v, false)
		return nil
	case "hosts", "groups":
		o, ok := v.Value.(*hujson.Object)
		if !ok {
			return errOtherForm
		}
		for i := range o.Members {
			m := &o.Members[i]
			m.Name.Value = hujson.String(a.name(nameOf(m)))
			a.values(&m.Value, false)
		}
		return nil
	case "accept", "tests":
		list, ok := v.Value.(*hujson.Array)
		if !ok {
			return errOtherForm
		}
		for i := range list.Elements {
			if err := a.rule(&list.Elements[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return errOtherForm
}

// rule replaces what is in a rule, or in a test.
func (a *anonymizer) rule(v *hujson.Value) error {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return errOtherForm
	}
	for i := range o.Members {
		switch m := &o.Members[i]; nameOf(m) {
		case "proto":
		case "src", "except":
			a.values(&m.Value, false)
		case "dst", "accept", "deny":
			a.values(&m.Value, true)
		default:
			return errOtherForm
		}
	}
	return nil
}

// values replaces a string, or those of a list. With ports, they are destinations.
func (a *anonymizer) values(v *hujson.Value, ports bool) {
	switch is := v.Value.(type) {
	case hujson.Literal:
		if is.Kind() != '"' {
			return
		}
		if all := a.hosts(is.String(), ports); len(all) == 1 {
			v.Value = hujson.String(all[0])
		} else {
			list := &hujson.Array{}
			for _, text := range all {
				list.Elements = append(list.Elements, hujson.Value{Value: hujson.String(text)})
			}
			v.Value = list
		}
	case *hujson.Array:
		var all []hujson.ArrayElement
		for _, e := range is.Elements {
			a.values(&e, ports)
			if several, ok := e.Value.(*hujson.Array); ok {
				several.Elements[0].BeforeExtra = e.BeforeExtra
				all = append(all, several.Elements...)
			} else {
				all = append(all, e)
			}
		}
		is.Elements = all
	}
}

// hosts returns what stands for a name, an address, a prefix or a range, with its ports.
func (a *anonymizer) hosts(text string, ports bool) []string {
	host, after := text, ""
	if i := strings.LastIndexByte(text, ':'); ports && i >= 0 && !isAddress(text) {
		host, after = text[:i], text[i:]
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	with := func(s string) string {
		if after != "" && strings.Contains(s, ":") {
			return "[" + s + "]" + after
		}
		return s + after
	}
	from, to, isRange := strings.Cut(bare, "-")
	first, err1 := netip.ParseAddr(from)
	last, err2 := netip.ParseAddr(to)
	switch {
	case bare == "*":
		return []string{text}
	case isRange && err1 == nil && err2 == nil:
		var all []string
		for _, p := range covering(first, last) {
			all = append(all, with(a.prefixText(p.String(), p)))
		}
		if len(all) > 0 {
			return all
		}
	case isAddress(bare):
		return []string{with(a.text(bare))}
	}
	return []string{with(a.name(bare))}
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	_, prefixErr := netip.ParsePrefix(text)
	return err == nil || prefixErr == nil
}

// withoutComments returns the space of what stands between values.
func withoutComments(e hujson.Extra) hujson.Extra {
	var out hujson.Extra
	for len(e) > 0 {
		switch {
		case bytes.HasPrefix(e, []byte("//")):
			n := bytes.IndexByte(e, '\n')
			if n < 0 {
				return out
			}
			e = e[n:]
		case bytes.HasPrefix(e, []byte("/*")):
			n := bytes.Index(e, []byte("*/")) + 2
			out = append(out, bytes.Repeat([]byte("\n"), bytes.Count(e[:n], []byte("\n")))...)
			e = e[n:]
		default:
			out, e = append(out, e[0]), e[1:]
		}
	}
	return out
}
