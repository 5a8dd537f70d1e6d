package capture_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"tstun/capture"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
)

// A packet that was cut to the snap length is decoded as the packet that it was.
func TestReaderDecodesWhatWasCut(t *testing.T) {
	r := rig.New(t, 1)
	r.Allow(rig.To(rig.Port(80)))
	c, b := start(t, capture.Options{SnapLen: 40})
	r.W.SetCapture(c.Sink)
	long, short := strings.Repeat("x", 1000), "x"
	for _, payload := range []string{long, short, long} {
		r.FromPeer(craft.UDP(peer4, 5, host4, 80, payload))
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	in, err := capture.NewReader(bytes.NewReader(b.bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{long, short, long} {
		if _, err := in.Next(); err != nil {
			t.Fatal(err)
		}
		if p := in.Parsed(); p.Src.String() != "100.64.0.2:5" || p.Dst.Port() != 80 || len(p.Payload()) != len(payload) {
			t.Errorf("%v with %d bytes, want %d", p, len(p.Payload()), len(payload))
		}
	}
	if _, err := in.Next(); err != io.EOF {
		t.Error(err)
	}
}
