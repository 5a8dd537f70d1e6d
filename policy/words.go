package policy

import (
	"fmt"
	"strings"

	"github.com/tailscale/hujson"

	"tstun/ipproto"
)

// Words is a rule as its file puts it, with the file's names. A packet filter
// has no names, so its rules are in the filter's words.
type Words struct {
	Protos, Srcs, Dsts []string
	Except             []string // destinations that the rule leaves out
}

// maxWords is how many of each kind String shows.
const maxWords = 8

// String returns a form such as "tcp from admins, office to web:22". Of long
// lists it shows the beginning and how many more there are.
func (w Words) String() string {
	return someWords(w.Protos, ",") + " from " + someWords(w.Srcs, ", ") + " to " + w.targets()
}

// targets returns the destinations, without those that are left out.
func (w Words) targets() string {
	text := someWords(w.Dsts, ", ")
	if len(w.Except) > 0 {
		text += " except " + someWords(w.Except, ", ")
	}
	return text
}

func someWords(words []string, sep string) string {
	if len(words) <= maxWords {
		return strings.Join(words, sep)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:maxWords], sep), len(words)-maxWords)
}

// Words returns the rule that is number i in Config().Matches, as Rule tells
// its place. i must be such a number.
func (p *Policy) Words(i int) Words {
	w, ok := p.words[p.places[i]]
	if !ok {
		m := p.matches[i]
		w = Words{Protos: texts(m.IPProto), Srcs: texts(m.Srcs), Dsts: texts(m.Dsts)}
	}
	if len(w.Protos) == 0 {
		w.Protos = []string{ipproto.TCP.String(), ipproto.UDP.String(), "icmp"}
	}
	return w
}

func texts[T fmt.Stringer](items []T) []string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = item.String()
	}
	return all
}

// noteWords keeps the words of the rule v, which was read without errors.
func (s *source) noteWords(p *Policy, v *hujson.Value) {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return
	}
	var w Words
	for i := range o.Members {
		value := &o.Members[i].Value
		switch stringOf(o.Members[i].Name.Value.(hujson.Literal)) {
		case "proto":
			w.Protos = literals(value)
		case "src":
			w.Srcs = literals(value)
		case "dst":
			w.Dsts = literals(value)
		case "except":
			w.Except = literals(value)
		}
	}
	if p.words == nil {
		p.words = make(map[Position]Words)
	}
	p.words[s.position(v.StartOffset)] = w
}

// literals returns what stands in v: one literal, or those of a list.
func literals(v *hujson.Value) (all []string) {
	switch v := v.Value.(type) {
	case hujson.Literal:
		return []string{stringOf(v)}
	case *hujson.Array:
		for i := range v.Elements {
			all = append(all, literals(&v.Elements[i])...)
		}
	}
	return all
}
