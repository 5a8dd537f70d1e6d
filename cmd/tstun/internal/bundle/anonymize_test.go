package bundle_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/bundle"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/policy"
)

const acmePolicy = `{
	// Ada's own laptop, 10.9.0.2
	"hosts": {"shop": "10.9.0.1", "ada-laptop": ["10.9.0.2", "fd7a::20"], "office": "203.0.113.0/24", "pool": "10.9.1.5-10.9.1.9"},
	"groups": {"staff": ["ada-laptop", "198.51.100.7"]}, /* the
	staff of Acme */ "local": ["shop"],
	"accept": [
		{"proto": "tcp", "src": ["staff", "10.9.0.3"], "dst": "shop:http,8000-8010"}, // until May, says Grace
		{"src": "office", "proto": ["udp", "icmp"], "dst": ["10.9.0.1:53"], "except": "10.9.0.0/32"},
		{"src": "pool", "proto": "tcp", "dst": "shop:22"},
	],
	"permit": "link-local",
	"tests": [{"src": "ada-laptop", "accept": "shop:80", "deny": "shop:22"}],
}
`

const acmeStatus = `{"name":"acme0","mode":"userspace","modeReason":"it was asked for","publicKey":"UguPyBThx/+xMXeTbRYkKlP0Wh/QZT3vTLPOVaaXTD8=",
"addresses":["10.9.0.1/24","fd7a::1/64"],"peers":[{"name":"ada-laptop","publicKey":"4PbhDkHnB923tkUn2Gj59wZw5wFA75MnUeCtXsJZ278=",
"allowedIPs":["10.9.0.2/32","fd7a::20/128"],"endpoint":"203.0.113.9:51820","configuredEndpoint":"home.ada.example.org:51820"},
{"name":"web","publicKey":"5PbhDkHnB923tkUn2Gj59wZw5wFA75MnUeCtXsJZ278=","endpoint":"[2001:db8:5::9]:51820","configuredEndpoint":"[2001:db8:5::9]:51820"}],
"policy":{"file":"/home/ada/acme.hujson","hash":"8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92","rules":3},"counters":{"in":{"drops":{"no-rule":3}}}}
`

const acmeEvents = `{"kind":"policy-refused","time":"2026-11-29T12:00:00Z","text":"/home/ada/acme.hujson:5:3: \"ada-laptop\" \u003cagain\u003e, not xada-laptop"}
{"kind":"lookup-failed","peer":"4PbhDkHnB923tkUn2Gj59wZw5wFA75MnUeCtXsJZ278=","peerName":"ada-laptop","text":"lookup old.ada.example.net on 192.168.17.4:53: no such host"}
{"kind":"config-changed","text":"peer 4PbhDkHnB923tkUn2Gj59wZw5wFA75MnUeCtXsJZ278= at [fe80::1234%eth7]:99 has 10.9.0.0/24, was read from /etc/wireguard/acme0.conf"}
{"kind":"flow-refused","text":"tcp from ada-laptop (10.9.0.2) to shop:8080 (10.9.0.1): no-rule; rule 0, /home/ada/acme.hujson:5:3, comes nearest: port 8080 is not in shop:http, 127.0.0.1 and 0.0.0.0 stay"}
`

// acme returns the parts of a bundle, and what must not be in them afterwards.
func acme() (m bundle.Manifest, parts []bundle.Part, originals []string) {
	return bundle.Manifest{Tunnel: "acme0"}, []bundle.Part{
			{Path: "status.json", Data: []byte(acmeStatus)},
			{Path: "policy.hujson", Data: []byte(acmePolicy), Note: "/home/ada/acme.hujson was changed"},
			{Path: "events.jsonl", Data: []byte(acmeEvents)},
			{Path: "host.json", Data: []byte(`{"kernel":"6.18","interfaces":[{"name":"lo","addresses":["127.0.0.1/8"]},{"name":"eth7","addresses":["192.168.17.20/24"]}],"rules":[{"text":"from 192.168.17.20 iif eth7 lookup 51820"}]}`)},
			{Path: "goroutines.txt", Data: []byte("#\t0x1\ttstun/tunnel.(*Tunnel).run+0x1\t/home/ada/src/tstun/tunnel/tunnel.go:12\n")},
			{Path: "flows.jsonl", Err: errors.New("dial unix /run/user/acme/acme0.sock")},
		}, []string{
			"acme0", "shop", "ada-laptop", "office", "pool", "staff", "web", "eth7", "home.ada.example.org", "old.ada.example.net", "ada", "Ada", "Grace", "May", "Acme", "acme", "acme.hujson",
			"10.9.0.0/24", "10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.1.5", "10.9.1.9", "203.0.113.0/24", "203.0.113.9", "198.51.100.7", "192.168.17.4", "192.168.17.20",
			"fd7a::1", "fd7a::20", "2001:db8:5::9", "fe80::1234",
			"UguPyBThx/+xMXeTbRYkKlP0Wh/QZT3vTLPOVaaXTD8=", "4PbhDkHnB923tkUn2Gj59wZw5wFA75MnUeCtXsJZ278=", "5PbhDkHnB923tkUn2Gj59wZw5wFA75MnUeCtXsJZ278=",
			"8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92",
		}
}

// has reports whether text has a word.
func has(text, word string) bool {
	return regexp.MustCompile(`(^|[^A-Za-z0-9_.:])` + regexp.QuoteMeta(word) + `($|[^A-Za-z0-9_:.])`).MatchString(text)
}

// submatches returns what the groups of a pattern are in text, which has it.
func submatches(t *testing.T, text, pattern string) []string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", pattern, text)
	}
	return m[1:]
}

// No original is anywhere; the same one is replaced by the same other one in all files, and
// no two by one.
func TestAnonymize(t *testing.T) {
	m, parts, originals := acme()
	bundle.Anonymize(&m, parts)
	m.List(parts)
	manifest, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	all := string(manifest)
	text := make(map[string]string)
	for _, p := range parts {
		text[p.Path] = string(p.Data)
		all += "\n" + string(p.Data)
		for line := range strings.Lines(text[p.Path]) {
			if strings.HasSuffix(p.Path, ".jsonl") && !json.Valid([]byte(line)) {
				t.Errorf("%s: %s", p.Path, line)
			}
		}
	}
	for _, o := range originals {
		if has(all, o) {
			t.Errorf("%s is still there:\n%s", o, all)
		}
	}
	if !json.Valid(parts[0].Data) || !m.Anonymized || m.Note != "" {
		t.Errorf("%+v: %s", m, parts[0].Data)
	}
	for _, stays := range []string{"127.0.0.1", "0.0.0.0", `"lo"`, "policy-refused", "it was asked for", ":51820", "8000-8010", "http", "no-rule", `"6.18"`, "tunnel/tunnel.go:12", "2026-11-29T12:00:00Z"} {
		if !strings.Contains(all, stays) {
			t.Errorf("%s is gone:\n%s", stays, all)
		}
	}

	// What stands for each, as it is found in the status.
	status := submatches(t, text["status.json"], `"name":"(.+?)",.*\s"addresses":\["(.+?)/24","(.+?)/64"\],"peers":\[{"name":"(.+?)","publicKey":"(.+?)",\s.*,"endpoint":"(.+?):51820","configuredEndpoint":"(.+?):51820"}`)
	name, own, _, laptop, key, outside, home := status[0], status[1], status[2], status[3], status[4], status[5], status[6]
	file := submatches(t, text["status.json"], `"file":"(.+?)"`)[0]
	hosts := submatches(t, text["policy.hujson"], `{"(.+?)": "(.+?)", "(.+?)": \["(.+?)", ".+?"\], ".+?": "(.+?)"`)
	for i, same := range [][2]string{
		{hosts[1], own}, {hosts[2], laptop}, {m.Tunnel, name},
		{submatches(t, text["events.jsonl"], `"peer":"(.+?)"`)[0], key},
		{submatches(t, text["events.jsonl"], `"text":"(.+?):5:3: `)[0], file},
		{submatches(t, text["events.jsonl"], `tcp from (.+?) \(`)[0], laptop},
		{submatches(t, text["events.jsonl"], `tcp from .+? \((.+?)\) to`)[0], hosts[3]},
		{submatches(t, text["events.jsonl"], `to (.+?):8080 \(`)[0], hosts[0]},
		{submatches(t, text["events.jsonl"], `is not in (.+?):http`)[0], hosts[0]},
		{submatches(t, text["events.jsonl"], `to .+?:8080 \((.+?)\)`)[0], own},
		{submatches(t, text["host.json"], `iif (.+?) lookup`)[0], submatches(t, text["host.json"], `{"name":"lo".+?{"name":"(.+?)"`)[0]},
	} {
		if same[0] != same[1] {
			t.Errorf("%d: %s and %s", i, same[0], same[1])
		}
	}
	if !netip.MustParsePrefix(hosts[4]).Contains(netip.MustParseAddr(outside)) || !strings.HasPrefix(home, "host-") || !strings.HasSuffix(home, ".example") {
		t.Errorf("%s in %s, %s", outside, hosts[4], home)
	}
	replaced := []string{name, own, laptop, key, outside, home, file, hosts[0], hosts[3], hosts[4]}
	slices.Sort(replaced)
	if n := len(slices.Compact(replaced)); n != 10 {
		t.Errorf("two have one replacement: %q", replaced)
	}
}

// The policy says of what stands for a flow what it said of the flow, and its rules are in
// their lines.
func TestAnonymizedPolicy(t *testing.T) {
	flows := [][3]string{}
	for _, src := range []string{"10.9.0.2", "fd7a::20", "198.51.100.7", "10.9.0.3", "10.9.0.4", "203.0.113.77", "203.0.112.1", "10.9.1.4", "10.9.1.5", "10.9.1.7", "10.9.1.9", "10.9.1.10", "169.254.1.1"} {
		for _, dst := range []string{"10.9.0.1", "10.9.0.0", "10.9.0.7"} {
			flows = append(flows, [3]string{src, dst})
		}
	}
	m, parts, _ := acme()
	var asked strings.Builder // what stands for a flow is seen in a text that has it
	for _, f := range flows {
		asked.WriteString(`{"text":"` + f[0] + " " + f[1] + "\"}\n")
	}
	parts = append(parts, bundle.Part{Path: "asked.jsonl", Data: []byte(asked.String())})
	bundle.Anonymize(&m, parts)
	before, err := policy.Parse("before", []byte(acmePolicy))
	if err != nil {
		t.Fatal(err)
	}
	after, err := policy.Parse("after", parts[1].Data)
	if err != nil {
		t.Fatalf("%v\n%s", err, parts[1].Data)
	}
	if failures, err := after.Test(); err != nil || len(failures) > 0 {
		t.Errorf("%v, %v", failures, err)
	}
	a, b := newFilter(t, before), newFilter(t, after)
	accepted := 0
	for i, line := range strings.Split(strings.TrimSpace(string(parts[len(parts)-1].Data)), "\n") {
		is := submatches(t, line, `"text":"(.+?) (.+?)"`)
		for _, proto := range []ipproto.Proto{ipproto.TCP, ipproto.UDP} {
			for _, port := range []uint16{22, 53, 80, 8005, 9000} {
				was := a.Check(netip.MustParseAddr(flows[i][0]), netip.MustParseAddr(flows[i][1]), port, proto)
				got := b.Check(netip.MustParseAddr(is[0]), netip.MustParseAddr(is[1]), port, proto)
				if was != got {
					t.Errorf("%v %v:%d was %v, and %v is %v", proto, flows[i], port, was, is, got)
				}
				if was == filter.Accept {
					accepted++
				}
			}
		}
	}
	if accepted < 10 {
		t.Errorf("only %d are accepted", accepted)
	}
	for i := range 3 {
		if before.Rule(i).Line != after.Rule(i).Line {
			t.Errorf("rule %d was in line %d, and is in %d", i, before.Rule(i).Line, after.Rule(i).Line)
		}
	}
}

func newFilter(t *testing.T, p *policy.Policy) *filter.Filter {
	t.Helper()
	f, err := filter.New(p.Config())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What stands for a name is never a name itself, and what is in another program's form is
// left out.
func TestAnonymizeNames(t *testing.T) {
	m := bundle.Manifest{Tunnel: "name-1"}
	parts := []bundle.Part{
		{Path: "status.json", Data: []byte(`{"name":"name-1","peers":[{"name":"name-2"},{"name":"name-4"},{"name":"a"},{"name":"a-b"}],"text":"a, a-b, ab, a_b, name-4, name-41"}`)},
		{Path: "policy.hujson", Data: []byte(`[{"SrcIPs": ["*"], "DstPorts": [{"IP": "*", "Ports": {"First": 1, "Last": 2}}]}]`)},
	}
	bundle.Anonymize(&m, parts)
	text := string(parts[0].Data)
	names := submatches(t, text, `^{"name":"(.+?)","peers":\[{"name":"(.+?)"},{"name":"(.+?)"},{"name":"(.+?)"},{"name":"(.+?)"}\],"text":"(.+?)"}$`)
	if want := names[3] + ", " + names[4] + ", ab, a_b, " + names[2] + ", name-41"; names[5] != want {
		t.Errorf("%s, want %s", names[5], want)
	}
	for i, n := range names[:5] {
		if slices.Contains([]string{"name-1", "name-2", "name-4", "a", "a-b"}, n) || slices.Contains(names[:i], n) {
			t.Errorf("%q", names)
		}
	}
	if parts[1].Err == nil || parts[1].Data != nil {
		t.Errorf("%s, %v", parts[1].Data, parts[1].Err)
	}
}
