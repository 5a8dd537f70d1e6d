package up_test

import (
	"context"
	"os/exec"
	"testing"
)

// up starts the tunnel wg0 on the host and waits until it is up.
func (h *host) up(c config, args ...string) *node {
	h.t.Helper()
	n := h.begin(c, args...)
	n.await(0, `msg="the tunnel runs" name=wg0 `)
	return n
}

// begin starts the tunnel wg0 on the host.
func (h *host) begin(c config, args ...string) *node {
	h.t.Helper()
	return h.daemon(program(h.t), append([]string{"up", h.write("wg0.conf", c.String())}, args...)...)
}

// daemon starts a program on the host that ends with the test at the latest.
func (h *host) daemon(name string, args ...string) *node {
	h.t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		h.t.Skipf("needs %s: %v", name, err)
	}
	return begin(h.t, h.command(context.Background(), name, args...), h.Start)
}

// unchanged runs f, and wants the host's network to be as before, with no file
// left in /run.
func (h *host) unchanged(f func()) {
	h.t.Helper()
	before := h.network()
	f()
	if after := h.network(); after != before {
		h.t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestKernels joins two kernels.
func TestKernels(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("[2001:db8::2]:51820")
	a.unchanged(func() {
		b.unchanged(func() {
			nb, na := b.up(cb), a.up(ca)
			exchange(a, b)
			na.stop()
			nb.stop()
		})
	})
}
