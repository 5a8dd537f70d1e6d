package tunnel

import (
	"testing"

	"tstun"
	"tstun/logger"
)

// What passed and was not counted shows.
func TestUnaccounted(t *testing.T) {
	w := &witness{Wrapper: tstun.Wrap(logger.Discard, tstun.NewFake())}
	defer w.Close()
	if _, missing := w.books(); missing != (Unaccounted{}) {
		t.Errorf("at first: %+v", missing)
	}
	if _, err := w.Write([][]byte{make([]byte, 20)}, 0); err != nil { // no packet, but counted
		t.Fatal(err)
	}
	if c, missing := w.books(); c.In.Dropped() != 1 || missing != (Unaccounted{}) {
		t.Errorf("after a Write: %+v, %+v", c.In, missing)
	}
	w.in.Add(3)
	w.out.Add(2)
	if _, missing := w.books(); missing != (Unaccounted{In: 3, Out: 2}) {
		t.Errorf("%+v", missing)
	}
}
