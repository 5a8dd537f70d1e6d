package policy

import (
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
	var keys []string
	for _, f := range fields {
		if f.key != "" {
			keys = append(keys, f.key)
		}
	}
	values := make(map[string]*hujson.Value)
	s.members(v, what, func(key string, name, value *hujson.Value) {
		for _, k := range keys {
			if k == key {
				values[key] = value
				return
			}
		}
		s.errorf(name, "unknown key in %s: want %s", what, quoted(keys))
	})
	if _, ok := v.Value.(*hujson.Object); !ok {
		return
	}
	for _, f := range fields {
		if value, ok := values[f.key]; ok {
			f.read(value)
		} else if f.key == "" {
			f.read(v)
		} else if f.required {
			s.errorf(v, "%s has no %q", what, f.key)
		}
	}
}

// members calls each for the members of v, which is to be an object. A key
// that comes again is an error and left out.
func (s *source) members(v *hujson.Value, what string, each func(key string, name, value *hujson.Value)) {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		s.errorf(v, "want %s: an object", what)
		return
	}
	first := make(map[string]int, len(o.Members))
	for i := range o.Members {
		if s.full() {
			return
		}
		name, value := &o.Members[i].Name, &o.Members[i].Value
		key := name.Value.(hujson.Literal).String()
		if at, again := first[key]; again {
			s.errorf(name, "duplicate key: the first is in line %d", s.position(at).Line)
			continue
		}
		first[key] = name.StartOffset
		each(key, name, value)
	}
}

// anyElements is elements for a list that can be empty.
func (s *source) anyElements(v *hujson.Value, what string, each func(v *hujson.Value)) {
	if a, ok := v.Value.(*hujson.Array); !ok || len(a.Elements) > 0 {
		s.elements(v, what, each)
	}
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
	return l.String(), true
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
