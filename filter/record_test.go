package filter_test

import (
	"testing"

	"tstun/filter"
)

// What is written of a flow can be read back.
func TestRecordWords(t *testing.T) {
	for i := filter.InitiatorUnknown; i <= filter.InitiatorPeer; i++ {
		text, _ := i.MarshalText()
		got := filter.Initiator(200)
		if err := got.UnmarshalText(text); err != nil || got != i {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for p := filter.PhaseUntracked; p <= filter.PhaseReset; p++ {
		text, _ := p.MarshalText()
		got := filter.Phase(200)
		if err := got.UnmarshalText(text); err != nil || got != p {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if new(filter.Initiator).UnmarshalText([]byte("initiator-200")) == nil || new(filter.Phase).UnmarshalText([]byte("phase-200")) == nil {
		t.Error("what is not known was read")
	}
}
