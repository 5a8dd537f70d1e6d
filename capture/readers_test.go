package capture_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"tstun"
	"tstun/capture"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/ipproto"
	"tstun/packet"
)

// run runs a program that CI has, and returns what it prints.
func run(t *testing.T, stdin io.Reader, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, errs.Bytes())
	}
	return out.String()
}

// sample writes a file with packets of all kinds, cut to snapLen, of which two are lost,
// and returns its name and what is in it.
func sample(t *testing.T, snapLen int) (name string, f file) {
	t.Helper()
	r := rig.New(t, 1)
	r.W.PreFilterIn = func(p *packet.Parsed, _ *tstun.Wrapper) filter.Response {
		if p.Dst.Port() == 99 {
			return filter.Handled
		}
		return filter.Accept
	}
	r.Allow(rig.To(rig.Port(80)))
	w := newStuck()
	c, err := capture.New(w, capture.Options{SnapLen: snapLen, Ring: 256 << 10, Interface: "wg0"})
	if err != nil {
		t.Fatal(err)
	}
	<-w.waits
	r.W.SetCapture(c.Sink)
	r.FromPeer(craft.UDP(peer4, 5, host4, 80, "accepted"))
	r.FromPeer(craft.TCP(peer4, 5, host4, 81, packet.TCPSyn, strings.Repeat("refused", 150)))
	r.FromPeer(craft.UDP(peer6, 5, host6, 80, "IPv6"))
	r.FromPeer(craft.UDP(peer4, 5, host4, 99, "taken"))
	r.FromHost(craft.UDP(host4, 80, peer4, 5, "out"))
	r.FromPeer([]byte("junk"))
	r.FromPeer(nil)
	if err := r.W.InjectInboundCopy(craft.UDP(peer4, 5, host4, 7, "injected")); err != nil {
		t.Fatal(err)
	}
	full := obs(craft.UDP(host4, 80, peer4, 5, strings.Repeat("x", 60000)))
	full.Now = filter.Now()
	for c.Stats().Lost < 2 {
		c.Sink(full)
	}
	close(w.opened)
	settle(c)
	r.FromPeer(craft.UDP(peer6, 5, host6, 443, "the last"))
	f = finish(t, c, &w.buffer)
	name = filepath.Join(t.TempDir(), "capture.pcapng")
	if err := os.WriteFile(name, w.bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name, f
}

// TestTshark reads what was written, field by field.
func TestTshark(t *testing.T) {
	name, f := sample(t, 100)
	args := []string{"-n", "-r", name, "-T", "fields", "-E", "separator=|"}
	for _, field := range []string{
		"frame.time_epoch", "frame.p2p_dir", "frame.packet_flags_direction", "frame.len", "frame.cap_len", "frame.comment",
		"frame.drop_count", "frame.interface_name", "ip.src", "ipv6.dst", "udp.dstport",
	} {
		args = append(args, "-e", field)
	}
	lines := strings.Split(strings.TrimSuffix(run(t, nil, "tshark", args...), "\n"), "\n")
	if len(lines) != len(f.packets) {
		t.Fatalf("%d lines for %d packets", len(lines), len(f.packets))
	}
	for i, e := range f.packets {
		if want := tsharkLine(e); lines[i] != want {
			t.Errorf("packet %d:\n got %s\nwant %s", i+1, lines[i], want)
		}
	}
	refused := run(t, nil, "tshark", "-n", "-r", name, "-Y", `frame.comment contains "reason=no-rule" && frame.p2p_dir == 1`)
	if n := strings.Count(refused, "\n"); n != 2 {
		t.Errorf("%d packets that no rule allows:\n%s", n, refused)
	}
}

// tsharkLine returns what TestTshark's fields are of a packet.
func tsharkLine(e entry) string {
	p := new(packet.Parsed)
	p.Decode(append([]byte(e.data), make([]byte, e.length-len(e.data))...))
	src4, dst6, port, dropped, dir, flags := "", "", "", "", 0, 2
	if e.inbound {
		dir, flags = 1, 1
	}
	switch p.IPVersion {
	case 4:
		src4 = p.Src.Addr().String()
	case 6:
		dst6 = p.Dst.Addr().String()
	}
	if p.IPProto == ipproto.UDP {
		port = fmt.Sprint(p.Dst.Port())
	}
	if e.dropped > 0 {
		dropped = fmt.Sprint(e.dropped)
	}
	return fmt.Sprintf("%d.%09d|%d|0x%08x|%d|%d|%s|%s|wg0|%s|%s|%s", e.time.Unix(), e.time.Nanosecond(), dir, flags, e.length, len(e.data), e.comment, dropped, src4, dst6, port)
}

// TestTsharkReadsAlong: it prints each packet before the next one comes, from a pipe, as
// a file and as an interface.
func TestTsharkReadsAlong(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	for _, from := range []string{"-r", "-i"} {
		t.Run(from, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), tshark, "-l", "-n", from, "-", "-T", "fields", "-e", "udp.dstport", "-e", "frame.comment")
			var errs bytes.Buffer
			cmd.Stderr = &errs
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			c, err := capture.New(in, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for port := range 5 {
				c.Sink(obs(craft.UDP(host4, 80, peer4, uint16(1000+port), "live")))
				if want := fmt.Sprintf("%d\tverdict=accept", 1000+port); !lines.Scan() || lines.Text() != want {
					t.Fatalf("printed %q, %v, want %q\n%s", lines.Text(), lines.Err(), want, errs.Bytes())
				}
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			in.Close()
			if lines.Scan() {
				t.Errorf("printed %q behind the last packet", lines.Text())
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, errs.Bytes())
			}
		})
	}
}

// TestReaderGoes: when the program that reads along ends, the capture does.
func TestReaderGoes(t *testing.T) {
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pw.Close()
	c, err := capture.New(pw, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pr.Close()
	c.Sink(obs(craft.UDP(host4, 80, peer4, 5, "finds nobody, as the file's head may do")))
	<-c.Done()
	c.Sink(obs(craft.UDP(host4, 80, peer4, 5, "comes later")))
	if s := c.Stats(); !errors.Is(c.Err(), syscall.EPIPE) || s != (capture.Stats{Seen: 2, Lost: 2}) {
		t.Errorf("%v, %+v", c.Err(), s)
	}
}

// TestTcpdump reads all packets, whole and cut ones, and knows their lengths.
func TestTcpdump(t *testing.T) {
	for _, snapLen := range []int{0, 100} {
		name, f := sample(t, snapLen)
		out := run(t, nil, "tcpdump", "-n", "-tt", "--nano", "-r", name)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		first := fmt.Sprintf("%d.%09d IP 100.64.0.2.5 > 100.64.0.1.80: UDP, length 8", f.packets[0].time.Unix(), f.packets[0].time.Nanosecond())
		if len(lines) != len(f.packets) || lines[0] != first || !strings.Contains(lines[1], "Flags [S]") || !strings.Contains(lines[1], "length 1050") {
			t.Errorf("snap length %d: %d lines for %d packets: %.300s", snapLen, len(lines), len(f.packets), out)
		}
	}
}

// TestCapinfos counts as the capture did.
func TestCapinfos(t *testing.T) {
	name, f := sample(t, 100)
	out := run(t, nil, "capinfos", "-M", name)
	for label, want := range map[string]string{
		"File encapsulation:": "rawip", "File timestamp precision:": "nanoseconds (9)", "Number of packets:": fmt.Sprint(len(f.packets)),
		"Capture application:": "tstun", "Name =": "wg0", "Capture length =": "100", "Number of interfaces in file:": "1",
		"Number of stat entries =": "1", "Strict time order:": "True",
	} {
		_, rest, _ := strings.Cut(out, label)
		line, _, _ := strings.Cut(rest, "\n")
		if strings.TrimSpace(line) != want {
			t.Errorf("%s %q, want %q\n%s", label, strings.TrimSpace(line), want, out)
		}
	}
}

// TestEditcap: what it saves has all that was there, and converts to pcap.
func TestEditcap(t *testing.T) {
	name, want := sample(t, 100)
	copied := filepath.Join(t.TempDir(), "copy.pcapng")
	run(t, nil, "editcap", name, copied)
	b, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, b); !reflect.DeepEqual(got.packets, want.packets) || got.snapLen != want.snapLen || got.name != want.name {
		t.Errorf("copied %d packets of %d, or others", len(got.packets), len(want.packets))
	}
	old := filepath.Join(t.TempDir(), "copy.pcap")
	run(t, nil, "editcap", "-F", "nsecpcap", name, old)
	if out := run(t, nil, "capinfos", "-T", "-r", "-c", "-M", old); !strings.Contains(out, fmt.Sprint(len(want.packets))) {
		t.Errorf("converted to pcap: %s; want %d packets", out, len(want.packets))
	}
}
