package up_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// policyOf lets the peer ping b, and reach these TCP ports of it.
func policyOf(ports string) string {
	return fmt.Sprintf(`{
	"hosts": {"a": ["10.9.0.1", "fd09::1"], "b": ["10.9.0.2", "fd09::2"]},
	"local": "b",
	"accept": [
		{"proto": "icmp", "src": "a", "dst": "b"},
		{"proto": "tcp", "src": "a", "dst": "b:%s"},
	],
	"tests": [{"src": "a", "accept": "b:%s"}],
}
`, ports, ports)
}

// TestScan has nmap(1) find exactly the ports that a policy allows, though b
// listens at others too.
func TestScan(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("192.0.2.2:51820")
	b.up(cb, "--policy", b.write("policy.hujson", policyOf("22,443-445,8080")))
	a.up(ca)
	a.ping("10.9.0.2")
	for _, port := range []int{22, 25, 80, 443, 445, 3306, 8080} {
		b.listen(fmt.Sprintf("10.9.0.2:%d", port))
		b.listen(fmt.Sprintf("[fd09::2]:%d", port))
	}
	for _, to := range [][]string{{"10.9.0.2"}, {"-6", "fd09::2"}} {
		out := a.run("nmap", append([]string{"-n", "-Pn", "-sT", "-T4", "--min-parallelism", "50", "-p", "20-30,80,440-446,3306,8080"}, to...)...)
		found := regexp.MustCompile(`(?m)^(\d+)/tcp +(open|closed) `).FindAllStringSubmatch(out, -1)
		var got []string
		for _, f := range found {
			got = append(got, f[2]+" "+f[1])
		}
		if want := []string{"open 22", "open 443", "closed 444", "open 445", "open 8080"}; !slices.Equal(got, want) {
			t.Errorf("nmap finds %q, want %q:\n%s", got, want, out)
		}
	}
	b.wantBooks("no-rule")
}

// wantBooks holds the books of wg0 to balance, and something to have been dropped
// for a reason.
func (h *host) wantBooks(reason string) {
	h.t.Helper()
	var said struct {
		Tunnels []struct {
			Counters struct {
				In struct {
					Packets uint64
					Drops   map[string]uint64
				}
			}
			Unaccounted *struct{ In, Out uint64 }
		}
	}
	if err := json.Unmarshal([]byte(h.run(program(h.t), "status", "wg0", "--json")), &said); err != nil || len(said.Tunnels) != 1 {
		h.t.Fatalf("%v: %+v", err, said)
	}
	s := said.Tunnels[0]
	if in := s.Counters.In; in.Packets == 0 || in.Drops[reason] == 0 || s.Unaccounted == nil || s.Unaccounted.In != 0 || s.Unaccounted.Out != 0 {
		h.t.Errorf("the books of wg0: %+v, unaccounted %+v", s.Counters, s.Unaccounted)
	}
}

// TestPolicyEdits edits a policy file as editors do, and wants each edit in
// force, while a connection that all of them allow goes on.
func TestPolicyEdits(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("192.0.2.2:51820")
	file := b.write("policy.hujson", policyOf("22,5000-5999"))
	n := b.up(cb, "--policy", file)
	a.up(ca)
	a.ping("10.9.0.2")
	go serveEcho(b.listen("10.9.0.2:22"))
	go serveEcho(b.listen("10.9.0.2:23"))
	transfer := beginIperf(a, b, "10.9.0.2", "-n", "2M", "-b", "4M")
	transfer.midway(b)
	revoked := a.dial("10.9.0.2:22")
	if err := wantEcho(0, revoked); err != nil {
		t.Fatal(err)
	}
	edits := []struct {
		how  string
		edit func(text string) error
		text string
		log  string
	}{
		{"written over", func(s string) error { return os.WriteFile(file, []byte(s), 0o600) }, policyOf("23,5000-5999"), "is in force"},
		{"wrong", func(s string) error { return os.WriteFile(file, []byte(s), 0o600) }, `{"accept": [{"src": "nobody"}]}`, "policy refused: " + file + ":1:"},
		{"renamed over", func(s string) error { return replace(file, s) }, policyOf("22-23,5000-5999"), "is in force"},
		{"moved away and made anew, as vi does", func(s string) error { return backUp(file, s) }, policyOf("23,5000-5999"), "is in force"},
	}
	for i, e := range edits {
		from := len(n.log.String())
		if err := e.edit(e.text); err != nil {
			t.Fatal(err)
		}
		n.await(from, e.log)
		for _, port := range []string{"22", "23"} {
			allowed := slices.Contains([]string{"0 23", "1 23", "2 22", "2 23", "3 23"}, fmt.Sprint(i, " ", port))
			if c, err := a.tryDial("10.9.0.2:"+port, dialWait(allowed)); (err == nil) != allowed {
				t.Errorf("after a file that is %s: port %s: %v", e.how, port, err)
			} else if err == nil {
				c.Close()
			}
		}
	}
	_ = revoked.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if wantEcho(0, revoked) == nil {
		t.Error("a connection to a port that was revoked goes on")
	}
	if r := transfer.report(); r.End.Received.Bytes < 1<<20 {
		t.Errorf("the connection that is allowed throughout carries %d bytes", r.End.Received.Bytes)
	}
	if refused := strings.Count(n.log.String(), "policy refused"); refused != 1 {
		t.Errorf("%d files refused, want 1", refused)
	}
}

func dialWait(allowed bool) time.Duration {
	if allowed {
		return patience
	}
	return 200 * time.Millisecond
}

func (h *host) tryDial(address string, wait time.Duration) (c net.Conn, err error) {
	err = h.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", address, wait)
		return err
	})
	return c, err
}

func (h *host) dial(address string) net.Conn {
	h.t.Helper()
	c, err := h.tryDial(address, patience)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// replace puts a new file in the place of the old one.
func replace(file, text string) error {
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// backUp moves the file away, and writes it anew in pieces.
func backUp(file, text string) error {
	if err := os.Rename(file, file+"~"); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, half := range []string{text[:len(text)/2], text[len(text)/2:]} {
		if _, err := f.WriteString(half); err != nil {
			return err
		}
	}
	return os.Remove(file + "~")
}
