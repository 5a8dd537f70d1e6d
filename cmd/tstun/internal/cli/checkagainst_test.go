package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// pcapngFile is a capture that is being made.
type pcapngFile struct{ bytes.Buffer }

func newPcapng() *pcapngFile {
	f := new(pcapngFile)
	f.block(0x0a0d0d0a, le(uint32(0x1a2b3c4d), uint16(1), uint16(0), ^uint64(0)))
	f.block(1, le(uint16(101), uint16(0), uint32(0))) // LINKTYPE_RAW
	return f
}

// le returns numbers, least byte first.
func le(numbers ...any) []byte {
	var b bytes.Buffer
	for _, n := range numbers {
		_ = binary.Write(&b, binary.LittleEndian, n)
	}
	return b.Bytes()
}

func (f *pcapngFile) block(kind uint32, body []byte) {
	n := uint32(len(body) + 12)
	f.Write(le(kind, n))
	f.Write(body)
	f.Write(le(n))
}

func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// add adds a packet, inbound or not, with a comment if that is not empty.
func (f *pcapngFile) add(inbound bool, comment string, data []byte) {
	flags := uint32(2)
	if inbound {
		flags = 1
	}
	body := le(uint32(0), uint32(0x00060000), uint32(0), uint32(len(data)), uint32(len(data)))
	body = append(body, padded(bytes.Clone(data))...)
	if comment != "" {
		body = append(body, le(uint16(1), uint16(len(comment)))...)
		body = append(body, padded([]byte(comment))...)
	}
	body = append(body, le(uint16(2), uint16(4), flags, uint32(0))...)
	f.block(6, body)
}

const againstPolicy = `{
	"hosts": {"web": "10.0.0.1", "laptop": "10.0.0.20"},
	"local": "web",
	"accept": [
		{"proto": "tcp", "src": "laptop", "dst": "web:80,8080"}, // both
	],
}
`

// capturedDay writes a policy and a capture, and returns their names: of what passed,
// web:80 does under the policy, web:22 does not; web:8080 was refused; the host asked
// somebody and got an answer.
func capturedDay(t *testing.T) (policy, pcap string) {
	web, laptop, other := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.20"), netip.MustParseAddr("10.0.0.9")
	f := newPcapng()
	const passes, refused = "verdict=accept rule=0 peer=anna", "verdict=drop reason=no-rule stage=rules peer=anna"
	for i := range uint16(3) {
		f.add(true, passes, craft.TCP(laptop, 1000+i, web, 22, packet.TCPSyn, ""))
	}
	f.add(true, passes, craft.TCP(laptop, 1000, web, 80, packet.TCPSyn, ""))
	f.add(false, "verdict=accept", craft.TCP(web, 80, laptop, 1000, packet.TCPSynAck, ""))
	f.add(true, refused, craft.TCP(laptop, 1001, web, 8080, packet.TCPSyn, ""))
	f.add(false, "verdict=accept", craft.UDP(web, 2000, other, 53, "question"))
	f.add(true, passes, craft.UDP(other, 53, web, 2000, "answer"))
	f.add(true, refused, craft.UDP(other, 53, web, 2001, "nobody asked"))
	dir := t.TempDir()
	policy, pcap = filepath.Join(dir, "policy.hujson"), filepath.Join(dir, "day.pcapng")
	for name, data := range map[string][]byte{policy: []byte(againstPolicy), pcap: f.Bytes()} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return policy, pcap
}

// run runs a command line and returns what it prints and its exit code.
func run(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	env := ui.Environment{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code = Run(context.Background(), env, args)
	return out.String(), errs.String(), code
}

func TestCheckAgainst(t *testing.T) {
	policy, pcap := capturedDay(t)
	out, errs, code := run("check", policy, "--against", pcap)
	want := `breaks tcp from laptop (10.0.0.20) to web:22 (10.0.0.1)
   3 packets, the first is packet 1
   drop at stage "rules" for reason "no-rule"
   No rule allows this new flow.
   rule 0, ` + policy + `:5:3, comes nearest: port 22 is not in
   web:80,8080
   tcp from laptop to web:80,8080
let in tcp from laptop (10.0.0.20) to web:8080 (10.0.0.1)
   1 packet, the first is packet 6
   accept at stage "rules" by rule 0, ` + policy + `:5:3
   tcp from laptop to web:80,8080
FAIL ` + policy + `: 9 packets of ` + pcap + `, 7 flows
`
	if strings.Join(strings.Fields(out), " ") != strings.Join(strings.Fields(want), " ") || code != 1 || !strings.Contains(errs, "error: 1 flow breaks of 7") {
		t.Errorf("exit code %d:\n%s\nwant\n%s\n%s", code, out, want, errs)
	}
	out, _, code = run("check", policy, "--against", pcap, "--json")
	if code != 1 || !strings.Contains(out, `"flows": 3`) || !strings.Contains(out, `"firstPacket": 6`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if _, errs, code := run("check", policy, "--against", policy); code != 2 || !strings.Contains(errs, "hint: want a capture") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, _, code := run("check", policy, pcap, "--against", pcap); code != 2 {
		t.Errorf("two files: exit code %d", code)
	}
}

func TestCheckRecord(t *testing.T) {
	policy, pcap := capturedDay(t)
	out, errs, code := run("check", policy, "--against", pcap, "--record")
	for _, want := range []string{
		"# is no test: tcp from laptop (10.0.0.20) to web:22 (10.0.0.1): it was let in, and the policy refuses it\n",
		"# is no test: tcp from laptop (10.0.0.20) to web:8080 (10.0.0.1): it was refused, and the policy accepts it\n",
		"# 2 tests are added\n",
		"+\t\t{\"proto\": \"udp\", \"src\": \"10.0.0.9\", \"deny\": \"web:2001\"},\n",
		"+\t\t{\"proto\": \"tcp\", \"src\": \"laptop\", \"accept\": \"web:80\"},\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if code != 0 || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
