package rig

import (
	"errors"
	"os"
	"testing"

	"tstun"
)

// WantClosed checks that err says that the Wrapper is closed, in both ways.
func WantClosed(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, tstun.ErrClosed) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%s: %v, want ErrClosed and os.ErrClosed", what, err)
	}
}

// WantAllClosed calls everything that must fail after Close.
func WantAllClosed(t *testing.T, w *tstun.Wrapper) {
	t.Helper()
	buf := make([]byte, Offset+100)
	_, err := w.Read([][]byte{buf}, []int{0}, Offset)
	WantClosed(t, "Read", err)
	_, err = w.Write([][]byte{buf}, Offset)
	WantClosed(t, "Write", err)
	_, err = w.Unbatched().Read(buf, Offset)
	WantClosed(t, "Unbatched.Read", err)
	_, err = w.Unbatched().Write(buf, Offset)
	WantClosed(t, "Unbatched.Write", err)
	WantClosed(t, "Unbatched.Flush", w.Unbatched().Flush())
	WantClosed(t, "InjectInboundCopy", w.InjectInboundCopy(buf))
	WantClosed(t, "InjectInboundDirect", w.InjectInboundDirect(buf, Offset))
	WantClosed(t, "InjectOutbound", w.InjectOutbound(buf))
	released := 0
	WantClosed(t, "InjectInboundPacketBuffer", w.InjectInboundPacketBuffer(PacketBuffer(buf, &released)))
	WantClosed(t, "InjectOutboundPacketBuffer", w.InjectOutboundPacketBuffer(PacketBuffer(buf, &released)))
	if released != 2 {
		t.Errorf("%d refused PacketBuffers released, want 2", released)
	}
}
