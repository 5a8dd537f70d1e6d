package policy_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
)

const forgotten = `// The office.
{
	"hosts": {
		"web": ["100.64.0.10", "fd7a::10"], // nginx
		"db": "100.64.0.11", "laptop": ["100.64.0.20", "fd7a::20"], "phone": "100.64.0.21", "net": "192.0.2.0/24",
	},
	"groups": {"admins": ["laptop", "phone"]},
	"local": ["web", "db"],
	"accept": [
		// Everybody.
		{"proto": "tcp", "src": "*", "dst": "web:80,443"}, // and 80
		{"proto": "tcp", "src": ["admins", "net"], "dst": ["web:22", "db:22"]}, /* not
		   telnet */ // really
		// The end.
	],
	"tests": [
		{"src": "phone", "accept": "web:22", "deny": "web:23"},
		{"src": "fd7a::20", "deny": "web:9000"}
	],
}
`

func namedFlows(t *testing.T, p *policy.Policy, all ...string) (flows []policy.Flow) {
	t.Helper()
	for _, text := range all {
		w := strings.Fields(text)
		f, err := p.Flows(w[1], w[2], w[0])
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f...)
	}
	return flows
}

func TestSuggest(t *testing.T) {
	p := mustParse(t, forgotten)
	tests := []struct {
		name  string
		flows []string
		want  []string // rules
		left  []string
	}{
		{"nothing", nil, nil, nil},
		{"what is allowed", []string{"tcp phone web:80"}, nil, nil},
		{"a forgotten port", []string{"tcp 100.64.0.20 100.64.0.10:8080"}, []string{"tcp from laptop to web:8080"}, nil},
		{"ports and protocols", []string{"tcp phone db:1-5", "tcp phone db:7", "udp phone db:1-5", "udp phone db:7", "icmp phone db", "gre phone db"},
			[]string{"gre,icmp from phone to db", "tcp,udp from phone to db:1-5,7"}, nil},
		// laptop has an address that was not asked for, too.
		{"a whole group", []string{"tcp laptop db:5432", "tcp phone db:5432"}, []string{"tcp from admins to db:5432"}, nil},
		{"a whole group, in both versions", []string{"tcp admins web:5432"}, []string{"tcp from admins to web:5432"}, nil},
		{"one of a prefix", []string{"tcp 192.0.2.7 db:5432", "tcp 192.0.2.8 db:5432"}, []string{"tcp from 192.0.2.7, 192.0.2.8 to db:5432"}, nil},
		{"two destinations", []string{"tcp 192.0.2.7 db:5432", "tcp 192.0.2.7 web:81"}, []string{"tcp from 192.0.2.7 to db:5432, web:81"}, nil},
		{"IPv6 without a name", []string{"tcp fd00::1 [fd7a::10]:81", "gre fd00::1 [fd7a::10]"}, []string{"gre from fd00::1 to web", "tcp from fd00::1 to web:81"}, nil},
		{"what a test denies to the host's other address", []string{"tcp 100.64.0.20 100.64.0.10:9000"}, []string{"tcp from 100.64.0.20 to 100.64.0.10:9000"}, nil},
		{"what a test denies", []string{"tcp phone 100.64.0.10:23", "tcp fd7a::20 [fd7a::10]:8999-9001"}, []string{"tcp from laptop to web:8999,9001"},
			[]string{"tcp from 100.64.0.21 to 100.64.0.10:23: the test in test:17:48 denies it", "tcp from fd7a::20 to [fd7a::10]:9000: the test in test:18:31 denies it"}},
		{"what is not local", []string{"tcp phone 10.0.0.1:23", "tcp 127.0.0.1 100.64.0.10:23", "tcp web 100.64.0.10:23"}, nil, []string{
			`tcp from 100.64.0.21 to 10.0.0.1:23: its destination is not in "local"`,
			`tcp from 127.0.0.1 to 100.64.0.10:23: the filter drops what comes from it (loopback, unspecified, broadcast or reserved) before it asks the rules, unless "permit" has "martian"`,
			"tcp from 100.64.0.10 to 100.64.0.10:23: the filter drops what comes from its own destination"}},
	}
	for _, tt := range tests {
		s, err := policy.Suggest("test", []byte(forgotten), "", namedFlows(t, p, tt.flows...))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		var got, left []string
		for _, w := range s.Rules {
			got = append(got, w.String())
		}
		for _, l := range s.Left {
			left = append(left, l.Flow.String()+": "+l.Why)
		}
		if !slices.Equal(got, tt.want) || !slices.Equal(left, tt.left) {
			t.Errorf("%s: %q, left %q", tt.name, got, left)
		}
		checkComments(t, forgotten, string(s.Text))
	}
}

// checkComments wants all comments in their order.
func checkComments(t *testing.T, old, next string) {
	t.Helper()
	for _, c := range []string{"// The office.", "// nginx", "// Everybody.", "// and 80", "/* not\n\t\t   telnet */", "// really", "// The end."} {
		if !strings.Contains(old, c) {
			continue
		}
		at := strings.Index(next, c)
		if at < 0 {
			t.Errorf("%s is gone:\n%s", c, next)
			return
		}
		next = next[at:]
	}
}

// The patch of a suggestion is what patch makes the file of.
func TestSuggestPatch(t *testing.T) {
	if _, err := exec.LookPath("patch"); err != nil {
		t.Skip(err)
	}
	files := []string{
		forgotten,
		`{"local": "10.0.0.1", "accept": [{"src": "10.0.0.2", "dst": "*:1"}]}`,
		"\xef\xbb\xbf" + `{"local": "10.0.0.1"}`,
		"{\n\t\"local\": \"10.0.0.1\",\n\t\"accept\": [\n\t\t// nobody\n\t],\n\t\"tests\": [],\n}\n",
		"{\n  \"local\": \"10.0.0.1\",\n  \"accept\": [\n    {\"src\": \"10.0.0.2\", \"dst\": \"*:1\"} // one\n  ]\n}",
		"{\r\n\"local\": \"10.0.0.1\",\r\n\"accept\": [{\"src\": \"10.0.0.2\",\r\n\"dst\": \"*:1\"},], // one\r\n}\r\n",
	}
	for _, text := range files {
		p := mustParse(t, text)
		flows := namedFlows(t, p, "tcp 10.0.0.7 "+p.Config().Local[0].Addr().String()+":7")
		s, err := policy.Suggest("test", []byte(text), "", flows)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Rules) != 1 || check(mustFilter(t, mustParse(t, string(s.Text))), flows[0]).IsDrop() {
			t.Errorf("%v of\n%s\n%s", s.Rules, text, s.Text)
		}
		wantPatched(t, text, s)
	}
}

// wantPatched wants the patch to make s.Text of the file.
func wantPatched(t *testing.T, text string, s *policy.Suggestion) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("patch", "--binary", "--no-backup-if-mismatch", "--fuzz=0", file)
	cmd.Stdin = strings.NewReader(s.Patch)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, s.Patch)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, s.Text) {
		t.Errorf("patched\n%s\nwant\n%s\nby\n%s", got, s.Text, s.Patch)
	}
}

func TestTighten(t *testing.T) {
	p := mustParse(t, forgotten)
	s, err := policy.Tighten("test", []byte(forgotten), "", namedFlows(t, p, "tcp 192.0.2.7 db:22", "tcp phone web:80", "tcp phone db:5432"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range s.Rules {
		got = append(got, w.String())
	}
	// The test needs web:22, which was not used, so that this rule stays.
	if want := []string{"tcp from phone to web:80"}; !slices.Equal(got, want) || !slices.Equal(s.Removed, []int{0}) {
		t.Errorf("%q, want %q; %v\n%s", got, want, s.Removed, s.Patch)
	}
	checkComments(t, forgotten, string(s.Text))
	without := strings.Replace(forgotten, `"accept": "web:22", `, "", 1)
	s, err = policy.Tighten("test", []byte(without), "", namedFlows(t, p, "tcp 192.0.2.7 db:22"))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rules) != 1 || s.Rules[0].String() != "tcp from 192.0.2.7 to db:22" || !slices.Equal(s.Removed, []int{0, 1}) {
		t.Errorf("%v, %v", s.Rules, s.Removed)
	}
	checkComments(t, without, string(s.Text))
}

// randomTests adds tests that hold to a policy: of flows that are denied.
func randomTests(r *rand.Rand, text string, denied []policy.Flow) string {
	var tests []string
	for range min(len(denied), 4) {
		f := denied[r.IntN(len(denied))]
		dst := fmt.Sprintf("[%v]", f.Dst.Addr())
		if f.Proto.HasPorts() {
			dst += fmt.Sprintf(":%d", f.Dst.Port())
		}
		tests = append(tests, fmt.Sprintf(`{"proto": "%d", "src": "%v", "deny": "%s"}`, f.Proto, f.Src, dst))
	}
	return strings.TrimSuffix(text, "}") + `, "tests": [` + strings.Join(tests, ", ") + `], "hosts": {"a": ["10.0.0.1", "fd00::1"], "b": "10.0.0.2", "c": ["10.0.0.3", "fd00::3", "fd00::4"]}, "groups": {"ab": ["a", "b"]}}`
}

// isOrdinary reports whether a rule can be about a flow.
func isOrdinary(f policy.Flow) bool {
	return !f.Src.Is4In6() && !f.Dst.Addr().Is4In6() && f.Src != f.Dst.Addr() && (!f.Proto.HasPorts() || f.Dst.Port() > 0) && (f.Proto.HasPorts() || f.Dst.Port() == 0) &&
		(f.Proto != 58 || f.Src.Is6()) && (f.Proto != 1 || f.Src.Is4())
}

// aliases are the addresses of the same host, for randomTests' names.
func aliases(f policy.Flow, asked map[policy.Flow]bool) bool {
	host := map[string]string{"10.0.0.1": "a", "fd00::1": "a", "10.0.0.2": "b", "10.0.0.3": "c", "fd00::3": "c", "fd00::4": "c"}
	of := func(s string) string {
		if h := host[s]; h != "" {
			return h
		}
		return s
	}
	icmp := func(p policy.Flow) policy.Flow {
		if p.Proto == 58 {
			p.Proto = 1
		}
		return p
	}
	for a := range asked {
		if icmp(a).Proto == icmp(f).Proto && a.Dst.Port() == f.Dst.Port() && of(a.Src.String()) == of(f.Src.String()) && of(a.Dst.Addr().String()) == of(f.Dst.Addr().String()) {
			return true
		}
	}
	return false
}

// TestSuggestBruteForce asks for flows of a small space, and then the filter of the
// edited file about all: what was asked for is accepted, but for what it says, nothing
// else but what hosts get beside, and nothing that a test denies.
func TestSuggestBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var gained, left, tightened int
	for round := range 60 {
		_, text := randomParsed(r, unedited)
		text = randomTests(r, text, deniedBy(t, text))
		p, err := policy.Parse("test", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		was := mustFilter(t, p)
		asked := make(map[policy.Flow]bool)
		var flows []policy.Flow
		for f := range spaceFlows() {
			if isOrdinary(f) && r.IntN(400) == 0 {
				asked[f] = true
				flows = append(flows, f)
			}
		}
		s, err := policy.Suggest("test", []byte(text), "", flows)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		not := make(map[policy.Flow]bool)
		for _, l := range s.Left {
			not[l.Flow] = true
		}
		is := mustFilter(t, mustParse(t, string(s.Text)))
		for f := range spaceFlows() {
			if !isOrdinary(f) {
				continue
			}
			before, now := check(was, f).IsDrop(), check(is, f).IsDrop()
			switch {
			case !before && now:
				t.Errorf("%v is not accepted any more", f)
			case asked[f] && not[f] != now:
				t.Errorf("%v: asked for, dropped: %v, left: %v", f, now, not[f])
			case before && !now && !asked[f] && !aliases(f, asked):
				t.Errorf("%v: nobody asked for it", f)
			}
			if before && !now {
				gained++
			}
		}
		left += len(not)
		tightened += tighten(t, text, was, flows)
		if round < 10 {
			if _, err := exec.LookPath("patch"); err == nil {
				wantPatched(t, text, s)
			}
		}
		if t.Failed() {
			t.Fatalf("%s\n%s", text, s.Patch)
		}
	}
	if gained < 500 || left < 100 || tightened < 500 {
		t.Errorf("%d gained, %d left, %d tightened: no test", gained, left, tightened)
	}
}

// deniedBy returns the ordinary flows that a policy denies.
func deniedBy(t *testing.T, text string) (denied []policy.Flow) {
	f := mustFilter(t, mustParse(t, text))
	for flow := range spaceFlows() {
		if isOrdinary(flow) && check(f, flow).IsDrop() {
			denied = append(denied, flow)
		}
	}
	return denied
}

// tighten wants Tighten to allow what was used, and nothing that was not allowed. It
// returns how many flows are not allowed any more.
func tighten(t *testing.T, text string, was *filter.Filter, flows []policy.Flow) (lost int) {
	s, err := policy.Tighten("test", []byte(text), "", flows)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	used := make(map[policy.Flow]bool)
	for _, f := range flows {
		used[f] = !check(was, f).IsDrop()
	}
	is := mustFilter(t, mustParse(t, string(s.Text)))
	for f := range spaceFlows() {
		if !isOrdinary(f) {
			continue
		}
		before, now := check(was, f).IsDrop(), check(is, f).IsDrop()
		if before && !now || used[f] && now {
			t.Errorf("tightened, %v: dropped %v, then %v\n%s", f, before, now, s.Patch)
		}
		if !before && now {
			lost++
		}
	}
	return lost
}

// FuzzSuggest edits whatever parses: the result is never wrong, and no comment is gone.
func FuzzSuggest(f *testing.F) {
	for _, text := range []string{
		forgotten, `{"local": "10.0.0.1" /* a */ , "accept": [ /* b */ ] // c` + "\n}", "{\"local\": \"*\", // x\n\"accept\": [{\"src\": \"*\", \"dst\": \"*:1\"} /* y\n*/ , // z\n]}",
		`{"tests": [{"src": "10.0.0.7", "deny": "10.0.0.1:1-6"}], "local": ["10.0.0.1", "fd00::1"], "accept": [{"src": /*s*/ "*", "dst": "*:9"}]}`,
	} {
		f.Add(text, uint8(7), uint16(7))
	}
	f.Fuzz(func(t *testing.T, text string, n uint8, port uint16) {
		if len(text) > 1<<12 {
			return
		}
		p, err := policy.Parse("test", []byte(text))
		if err != nil {
			return
		}
		var flows []policy.Flow
		for i, l := range p.Config().Local {
			src := netip.AddrFrom4([4]byte{10, 0, 0, n + uint8(i)})
			if l.Addr().Is6() {
				src = netip.MustParseAddr(fmt.Sprintf("fd00::%x", n))
			}
			flows = append(flows, policy.Flow{Proto: ipproto.TCP, Src: src, Dst: netip.AddrPortFrom(l.Addr(), port)})
		}
		s, err := policy.Suggest("test", []byte(text), "", flows)
		if isWrong(err) {
			t.Fatalf("%v\n%s", err, text)
		}
		comments := func(text string) int { return strings.Count(text, "/*") + strings.Count(text, "//") }
		if err == nil && comments(string(s.Text)) < comments(text) {
			t.Errorf("a comment is gone:\n%s\n%s", text, s.Text)
		}
		if _, err := policy.Tighten("test", []byte(text), "", flows); isWrong(err) {
			t.Fatalf("tightened: %v\n%s", err, text)
		}
	})
}

func isWrong(err error) bool { return err != nil && strings.Contains(err.Error(), "is wrong") }
