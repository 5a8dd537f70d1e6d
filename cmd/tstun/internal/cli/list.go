package cli

import (
	"fmt"
	"strings"
)

// list is a flag that may be given several times.
type list[T fmt.Stringer] struct {
	values *[]T
	parse  func(string) (T, error)
}

func listOf[T fmt.Stringer](values *[]T, parse func(string) (T, error)) list[T] {
	return list[T]{values, parse}
}

// Set adds a value.
func (l list[T]) Set(text string) error {
	v, err := l.parse(text)
	if err == nil {
		*l.values = append(*l.values, v)
	}
	return err
}

func (l list[T]) String() string {
	if l.values == nil {
		return ""
	}
	var all []string
	for _, v := range *l.values {
		all = append(all, v.String())
	}
	return strings.Join(all, ",")
}

// Type is what help says of a value.
func (l list[T]) Type() string { return "value" }
