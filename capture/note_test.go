package capture_test

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"tstun/capture"
	"tstun/filter"
)

// TestNote: each field's words, and back.
func TestNote(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fd7a::2")
	drop := filter.Verdict{Response: filter.DropSilently, Reason: filter.ReasonMulticast}
	for _, tt := range []struct {
		note capture.Note
		want string
	}{
		{capture.Note{Verdict: filter.Verdict{Response: filter.Accept}}, "verdict=accept"},
		{capture.Note{Verdict: filter.Verdict{Response: filter.Handled}, Injected: true}, "verdict=handled injected"},
		{capture.Note{Verdict: drop, Policy: 17, Peer: "laptop"}, "verdict=drop-silently reason=multicast stage=address policy=17 peer=laptop"},
		{
			capture.Note{Verdict: filter.Verdict{Response: filter.Accept}, Rule: "3", Policy: 1<<32 - 1, Peer: "käse=1", WireSrc: a, WireDst: b, Injected: true},
			"verdict=accept rule=3 policy=4294967295 peer=käse=1 wire=192.0.2.1>fd7a::2 injected",
		},
	} {
		if got := tt.note.String(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.note, got, tt.want)
		}
		if got, err := capture.ParseNote(tt.want); err != nil || got != tt.note {
			t.Errorf("%q: %+v, %v", tt.want, got, err)
		}
	}
	for _, r := range filter.Reasons() {
		n := capture.Note{Verdict: filter.Verdict{Response: filter.Drop, Reason: r}}
		if got, err := capture.ParseNote(n.String()); err != nil || got != n {
			t.Errorf("%v: %+v, %v", r, got, err)
		}
	}
}

// TestNamesAreOneWord, and of bounded length: a comment has at most 65,535 bytes.
func TestNamesAreOneWord(t *testing.T) {
	for in, want := range map[string]string{
		"a b\tc\nd\x00e": "a_b_c_d_e", "\xff\u2028": "__", "injected": "injected",
		strings.Repeat("é", 100):       strings.Repeat("é", 64),
		strings.Repeat("x", 127) + "é": strings.Repeat("x", 127) + "_",
	} {
		got, err := capture.ParseNote(capture.Note{Peer: in, Rule: in}.String())
		if err != nil || got.Peer != want || got.Rule != want || got.Injected {
			t.Errorf("%q: %+v, %v, want %q", in, got, err, want)
		}
	}
}

// TestParseNoteErrors: what it does not know it leaves out, what it does must be right.
func TestParseNoteErrors(t *testing.T) {
	if n, err := capture.ParseNote("new=1 verdict=accept  hue=red"); err != nil || n.Verdict.Response != filter.Accept {
		t.Errorf("%+v, %v", n, err)
	}
	for _, s := range []string{
		"", "a person's comment", "verdict", "verdict=", "verdict=drop reason=weather", "verdict=accept policy=-1",
		"verdict=accept policy=4294967296", "verdict=accept wire=1.2.3.4", "verdict=accept wire=>", "verdict=accept wire=fe80::1%eth0>::1", "policy=1",
	} {
		if n, err := capture.ParseNote(s); err == nil || n != (capture.Note{}) || !strings.HasPrefix(err.Error(), "capture: comment ") {
			t.Errorf("%q: %+v, %v", s, n, err)
		}
	}
}

// FuzzParseNote: what is understood is written again as something with the same meaning.
func FuzzParseNote(f *testing.F) {
	f.Add("verdict=drop reason=no-rule stage=rules rule=3 policy=17 peer=2 wire=1.2.3.4>::1%e injected")
	f.Add("verdict=handled wire=::1>")
	f.Fuzz(func(t *testing.T, s string) {
		n, err := capture.ParseNote(s)
		if err != nil {
			return
		}
		text := n.String()
		again, err := capture.ParseNote(text)
		if err != nil || again.String() != text || !utf8.ValidString(text) || again.Verdict != n.Verdict || again.Policy != n.Policy || again.Injected != n.Injected {
			t.Errorf("%q: %+v, then %q: %+v, %v", s, n, text, again, err)
		}
	})
}
