package policy

import (
	"slices"
	"strconv"

	"github.com/tailscale/hujson"
)

// field is a key that an object may have, and what reads its value. Without a
// key, it is a step of its own, and reads the object.
type field struct {
	key      string
	required bool
	read     func(v *hujson.Value)
}

// object reads v, which is to be an object, with the fields that it may have.
// They are read in the order of fields, not of the file. what names v in
// errors.
func (s *source) object(v *hujson.Value, what string, fields ...field) {
	values := make([]*hujson.Value, len(fields))
	s.members(v, what, func(key string, name, value *hujson.Value) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 || key == "" {
			s.errorf(name, "unknown key in %s: want %s", what, quoted(keysOf(fields)))
			return
		}
		values[i] = value
	})
	if _, ok := v.Value.(*hujson.Object); !ok {
		return
	}
	for i, f := range fields {
		if values[i] != nil {
			f.read(values[i])
		} else if f.key == "" {
			f.read(v)
		} else if f.required {
			s.errorf(v, "%s has no %q", what, f.key)
		}
	}
}

func keysOf(fields []field) (keys []string) {
	for _, f := range fields {
		if f.key != "" {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// members calls each for the members of v, which is to be an object. A key
// that comes again is an error and left out.
func (s *source) members(v *hujson.Value, what string, each func(key string, name, value *hujson.Value)) {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		s.errorf(v, "want %s: an object", what)
		return
	}
	first := newFirsts(len(o.Members))
	for i := range o.Members {
		if s.full() {
			return
		}
		name, value := &o.Members[i].Name, &o.Members[i].Value
		key := stringOf(name.Value.(hujson.Literal))
		if at, again := first.at(key, name.StartOffset); again {
			s.errorf(name, "duplicate key: the first is in line %d", s.position(at).Line)
			continue
		}
		each(key, name, value)
	}
}

// anyElements is elements for a list that can be empty.
func (s *source) anyElements(v *hujson.Value, what string, each func(v *hujson.Value)) {
	if a, ok := v.Value.(*hujson.Array); !ok || len(a.Elements) > 0 {
		s.elements(v, what, each)
	}
}

// lengthOf returns how many elements v has, or 0 if it is no list.
func lengthOf(v *hujson.Value) int {
	if a, ok := v.Value.(*hujson.Array); ok {
		return len(a.Elements)
	}
	return 0
}

// elements calls each for the elements of v, which is to be a list of what, with
// one at least.
func (s *source) elements(v *hujson.Value, what string, each func(v *hujson.Value)) {
	a, ok := v.Value.(*hujson.Array)
	if !ok {
		s.errorf(v, "want a list of %s", what)
		return
	}
	if len(a.Elements) == 0 {
		s.errorf(v, "empty: want at least one of %s", what)
	}
	for i := range a.Elements {
		if s.full() {
			return
		}
		each(&a.Elements[i])
	}
}

// texts calls each for the strings of v, which is to be a list of strings or
// one string.
func (s *source) texts(v *hujson.Value, what string, each func(text string, v *hujson.Value)) {
	s.oneOrMore(v, what, func(v *hujson.Value) {
		if text, ok := s.text(v, what); ok {
			each(text, v)
		}
	})
}

// oneOrMore calls one for the elements of v, or for v if it is no list.
func (s *source) oneOrMore(v *hujson.Value, what string, one func(v *hujson.Value)) {
	if _, list := v.Value.(*hujson.Array); list {
		s.elements(v, what, one)
	} else {
		one(v)
	}
}

// text returns the string that v is to be.
func (s *source) text(v *hujson.Value, what string) (string, bool) {
	l, ok := v.Value.(hujson.Literal)
	if !ok || l.Kind() != '"' {
		s.errorf(v, "want %s: a string", what)
		return "", false
	}
	return stringOf(l), true
}

// stringOf returns l.String(). Most strings have nothing to unquote.
func stringOf(l hujson.Literal) string {
	if l.Kind() != '"' {
		return l.String()
	}
	for _, c := range l {
		if c == '\\' || c < ' ' || c > '~' {
			return l.String()
		}
	}
	return string(l[1 : len(l)-1])
}

// firsts are the offsets at which keys come first. A map costs more than it saves where
// there are few.
type firsts struct {
	few  []firstAt
	many map[string]int // nil: few has all
}

type firstAt struct {
	key string
	at  int
}

// fewKeys is how many are looked at one by one.
const fewKeys = 8

// newFirsts returns the place for so many keys.
func newFirsts(n int) (f firsts) {
	if n > fewKeys {
		f.many = make(map[string]int, n)
	} else {
		f.few = make([]firstAt, 0, n)
	}
	return f
}

// at returns where a key came first, if it did, or else notes that it is here.
func (f *firsts) at(key string, here int) (first int, again bool) {
	if f.many != nil {
		if first, again = f.many[key]; !again {
			f.many[key] = here
		}
		return first, again
	}
	for _, k := range f.few {
		if k.key == key {
			return k.at, true
		}
	}
	f.few = append(f.few, firstAt{key, here})
	return 0, false
}

// textOrNumber returns the string that v is to be, or the number that it may be,
// as it is written.
func (s *source) textOrNumber(v *hujson.Value, what string) (string, bool) {
	if l, ok := v.Value.(hujson.Literal); ok && l.Kind() == '0' {
		return string(l), true
	}
	return s.text(v, what)
}

// number returns the integer from low to high that v is to be.
func (s *source) number(v *hujson.Value, what string, low, high int) (int, bool) {
	if l, ok := v.Value.(hujson.Literal); ok && l.Kind() == '0' {
		if n, err := strconv.Atoi(string(l)); err == nil && low <= n && n <= high {
			return n, true
		}
	}
	s.errorf(v, "want %s: a number from %d to %d", what, low, high)
	return 0, false
}

func isNull(v *hujson.Value) bool { return v.Value.Kind() == 'n' }
