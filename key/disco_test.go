package key_test

import (
	"fmt"
	"strings"
	"testing"

	"tstun/key"
)

func TestTextRoundTrip(t *testing.T) {
	var raw [32]byte
	for i := range raw {
		raw[i] = byte(i * 7)
	}
	want := key.DiscoPublicFromRaw32(raw)
	text, err := want.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got key.DiscoPublic
	if err := got.UnmarshalText(text); err != nil || got != want {
		t.Errorf("UnmarshalText(%q) = %v, %v; want %v", text, got, err, want)
	}
	if got.Raw32() != raw {
		t.Errorf("Raw32 = %x, want %x", got.Raw32(), raw)
	}
	if want.IsZero() || !(key.DiscoPublic{}).IsZero() {
		t.Error("IsZero is true of the zero value alone")
	}
}

func TestUnmarshalTextRefuses(t *testing.T) {
	for _, in := range []string{
		"",
		"discokey:",
		strings.Repeat("ab", 32),
		"discokey:" + strings.Repeat("ab", 31),
		"discokey:" + strings.Repeat("ab", 33),
		"discokey:" + strings.Repeat("zz", 32),
	} {
		k := key.DiscoPublicFromRaw32([32]byte{1})
		if err := k.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("UnmarshalText(%q): no error", in)
		}
		if k != key.DiscoPublicFromRaw32([32]byte{1}) {
			t.Errorf("UnmarshalText(%q) changed the key", in)
		}
	}
}

func Example() {
	k := key.DiscoPublicFromRaw32([32]byte{0xab})
	fmt.Println(k.String()[:13], k.IsZero())
	// Output: discokey:ab00 false
}
