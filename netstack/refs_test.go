package netstack_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/refs"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// What TestNothingHoldsPackets has the program do that it starts: an ordinary
// life of two stacks, and one that leaks.
const (
	refsTask  = "TSTUN_REFS"
	refsClean = "clean"
	refsLeak  = "leak"
)

// All packets that gVisor counts references of are given back, whatever is
// under way when a stack is closed. gVisor's check is for a whole program, so
// it has one of its own.
func TestNothingHoldsPackets(t *testing.T) {
	if task := os.Getenv(refsTask); task != "" {
		checkRefs(t, task)
		return
	}
	for task, leaks := range map[string]bool{refsClean: false, refsLeak: true} {
		cmd := exec.CommandContext(ctx(t), os.Args[0], "-test.run=^TestNothingHoldsPackets$")
		cmd.Env = append(os.Environ(), refsTask+"="+task)
		if out, err := cmd.CombinedOutput(); (err != nil) != leaks {
			t.Errorf("%s: %v\n%.4000s", task, err, out)
		}
	}
}

// checkRefs panics if there is a packet left.
func checkRefs(t *testing.T, task string) {
	refs.SetLeakMode(refs.LeaksPanic)
	t.Run("life", liveAndDie)
	if task == refsLeak {
		stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData([]byte("leak"))})
	}
	refs.DoLeakCheck()
}

// liveAndDie closes two stacks in the middle of traffic, with datagrams and
// data that nobody has read.
func liveAndDie(t *testing.T) {
	a, b := backToBack(t)
	wg := traffic(a, b)
	mustListenPacket(t, b, 9)
	u := mustDial(t, a.s, "udp", b.on(b.v4, 9))
	for range 100 {
		u.Write(make([]byte, 3000)) // two fragments
	}
	unread := newSink(t, b, 99)
	c := mustDial(t, a.s, "tcp", b.on(b.v6, 99))
	unread.wait(t, 1)
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	c.Write(make([]byte, 20<<20))
	a.s.Close()
	b.s.Close()
	a.w.Close()
	b.w.Close()
	wg.Wait()
}
