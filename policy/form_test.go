package policy_test

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"tstun/policy"
)

// wide returns text in UTF-16, after a mark if there is one.
func wide(order binary.AppendByteOrder, mark, text string) string {
	b := []byte(mark)
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return string(b)
}

// TestForms gives files that are not as a JSON library wants them.
func TestForms(t *testing.T) {
	const plain = `{"local": "100.64.0.9", "accept": []}`
	tests := []struct{ name, in, want string }{ // want: an error, or "" if it is read
		{"nothing allowed", plain, ""},
		{"byte order mark", "\xef\xbb\xbf" + plain, ""},
		{"comment without a newline", plain + "\n// the end", ""},
		{"comment right behind", plain + "// the end", ""},
		{"comment that is not closed", plain + "/* the end", "a comment that does not end: want */"},
		{"Windows' lines", strings.ReplaceAll(plain, " ", "\r\n"), ""},
		{"UTF-16, little end first, marked", wide(binary.LittleEndian, "\xff\xfe", plain), "f:1:1: the file is in UTF-16: save it as UTF-8"},
		{"UTF-16, big end first, marked", wide(binary.BigEndian, "\xfe\xff", plain), "f:1:1: the file is in UTF-16: save it as UTF-8"},
		{"UTF-16, little end first", wide(binary.LittleEndian, "", plain), "f:1:1: the file is in UTF-16: save it as UTF-8"},
		{"UTF-16, big end first", wide(binary.BigEndian, "", plain), "f:1:1: the file is in UTF-16: save it as UTF-8"},
		{"UTF-32", "\xff\xfe\x00\x00{\x00\x00\x00}\x00\x00\x00", "f:1:1: the file is in UTF-32: save it as UTF-8"},
		{"empty", "", "f:1:1: the file is empty: want a policy, such as"},
		{"mark alone", "\xef\xbb\xbf", "f:1:1: the file is empty"},
		{"white space", "\n\t \r\n", "f:1:1: the file is empty"},
		{"comments", "// nothing yet\n/* here */", "f:1:1: the file is empty"},
		{"cut", `{"local": "100.64.0.9"`, "f:1:23: the file ends too early: want a } for the { in line 1, column 1"},
		{"place behind a mark", "\xef\xbb\xbf{\"x\": 1, \"local\": \"*\"}", `f:1:2: "x": unknown key`},
		{"numbers for protocols", `{"local": "*", "accept": [{"proto": 6, "src": "*", "dst": "10.0.0.1:1"}, {"proto": [17, "tcp", 47], "src": "*", "dst": "10.0.0.1:*"}]}`, ""},
		{"not a protocol's number", `{"local": "*", "accept": [{"proto": 6.5, "src": "*", "dst": "10.0.0.1:1"}]}`, "6.5: want tcp, udp"},
		{"protocol 300", `{"local": "*", "accept": [{"proto": 300, "src": "*", "dst": "10.0.0.1:1"}]}`, "300: want tcp, udp"},
		{"true for a protocol", `{"local": "*", "accept": [{"proto": true, "src": "*", "dst": "10.0.0.1:1"}]}`, "true: want a protocol: a string"},
		{"number for an address", `{"local": 10}`, "10: want a host, a group or an address: a string"},
		{"capability", `{"local": "*", "accept": [{"src": "cap:example.com/cap/builder", "dst": "10.0.0.1:1"}]}`, `"cap:example.com/cap/builder": a capability of peers, which their addresses do not tell`},
		{"access control list", `{"groups": {}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}`, `f:1:16: "acls": this is an access control list of Tailscale or headscale`},
		{"grants", `{"grants": []}`, `want the packet filter that it makes for a node ("tailscale debug netmap"`},
		{"tag owners alone", `{"tagOwners": {}}`, "access control list"},
		{"an own key and a foreign one", `{"local": "*", "ssh": []}`, `"ssh": unknown key in the policy`},
		{"kind of address", `{"permit": "loopback", "local": "*"}`, `"loopback": want "multicast", "link-local", "mapped" or "martian"`},
		{"typing error that is no map of nodes", `{"acept": []}`, `"acept": unknown key`},
		{"except with ports", `{"local": "*", "accept": [{"src": "*", "dst": "10.0.0.0/8:1", "except": "10.0.0.1:1"}]}`, "want an address such as"},
		{"filter: unknown key", `[{"SrcIPs": ["*"], "SrcPosture": ["x"]}]`, `"SrcPosture": unknown key in a packet filter's rule`},
		{"filter: length", `[{"SrcIPs": ["10.0.0.1"], "SrcBits": [33], "DstPorts": [{"IP": "*", "Ports": {"First": 0, "Last": 1}}]}]`, "want an address such as"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.Parse("f", []byte(tt.in))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				mustFilter(t, p)
				return
			}
			var errs policy.Errors
			if !errors.As(err, &errs) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// TestDataIsNotChanged has a last line without newline in a larger slice.
func TestDataIsNotChanged(t *testing.T) {
	data := []byte(`{"local": "*"}XYZ`)
	if _, err := policy.Parse("f", data[:14]); err != nil || string(data) != `{"local": "*"}XYZ` {
		t.Errorf("%q, %v", data, err)
	}
}

const hosts = `"hosts": {"web": ["10.0.0.1", "fd00::1"], "db": "10.0.0.2", "laptop": "10.0.0.9"},
	"accept": [
		{"src": "laptop", "proto": "tcp", "dst": ["web:443", "db:5432"]},
		{"src": "web", "proto": "tcp", "dst": "db:5432"},
		{"src": "*", "proto": "icmp", "dst": ["web", "db"]},
	], "tests": [
		{"src": "laptop", "accept": ["web:443", "db:5432"], "deny": ["web:22", "db:22"]},
		{"src": "*", "proto": "icmp", "accept": ["db", "10.0.0.0-10.0.0.3"]},
	]`

// TestParseFor reads a policy of several hosts for one.
func TestParseFor(t *testing.T) {
	tests := []struct {
		name, in, host string
		want           []string // local and rules
		tests          int
		err            string
	}{
		{"no local", `{` + hosts + `}`, "web", []string{"10.0.0.1/32", "fd00::1/128",
			"tcp from 10.0.0.9/32 to 10.0.0.1/32:443, [fd00::1/128]:443, 10.0.0.2/32:5432",
			"icmpv4,icmpv6 from 0.0.0.0/0, ::/0 to 10.0.0.1/32:*, [fd00::1/128]:*, 10.0.0.2/32:*"}, 3, ""},
		{"any", `{"local": "*", ` + hosts + `}`, "db", []string{"10.0.0.2/32",
			"tcp from 10.0.0.9/32 to 10.0.0.1/32:443, [fd00::1/128]:443, 10.0.0.2/32:5432",
			"tcp from 10.0.0.1/32, fd00::1/128 to 10.0.0.2/32:5432",
			"icmpv4,icmpv6 from 0.0.0.0/0, ::/0 to 10.0.0.1/32:*, [fd00::1/128]:*, 10.0.0.2/32:*"}, 4, ""},
		{"by address", `{` + hosts + `}`, "10.0.0.2", nil, 4, ""},
		{"not one of the list", `{"local": ["web", "db"], ` + hosts + `}`, "laptop", nil, 0, `f: read for "laptop": not among the addresses that the file calls "local"`},
		{"no such host", `{` + hosts + `}`, "wed", nil, 0, `f: read for "wed": no host or group has this name: want one that has, such as web`},
		{"none", `{` + hosts + `}`, "", nil, 0, "f: no host to read it for"},
		{"errors of the file first", `{"x": 1, ` + hosts + `}`, "wed", nil, 0, `f:1:2: "x": unknown key`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := policy.ParseFor("f", []byte(tt.in), tt.host)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range p.Config().Local {
				got = append(got, l.String())
			}
			if got = append(got, rulesOf(p)...); tt.want != nil && !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
			failures, err := p.Test()
			if err != nil || p.Tests() != tt.tests {
				t.Errorf("%d tests, want %d; %v", p.Tests(), tt.tests, err)
			}
			// 10.0.0.0 and 10.0.0.3 are no host's of the rules, and local in the
			// file where nothing else is said.
			if len(failures) != 0 {
				t.Error(failures)
			}
			if n := p.Notes(); len(n) != 1 || !strings.Contains(n[0].Message, "other hosts are left out") {
				t.Errorf("notes %v", n)
			}
		})
	}
}

// TestSeveralHosts reads it for all of them.
func TestSeveralHosts(t *testing.T) {
	p := mustParse(t, `{"local": ["web", "db"], `+strings.Replace(hosts, `, "10.0.0.0-10.0.0.3"`, "", 1)+`}`)
	if failures, err := p.Test(); err != nil || len(failures) > 0 || p.Tests() != 5 || len(p.Notes()) > 0 {
		t.Errorf("%v, %v, %d tests, notes %v", failures, err, p.Tests(), p.Notes())
	}
	if _, err := policy.Parse("f", []byte(`{`+hosts+`}`)); err == nil || !strings.Contains(err.Error(), `the policy has no "local": want the addresses`) {
		t.Errorf("without local: %v", err)
	}
}

// TestParseForNode reads one packet filter of several, by name or by address.
func TestParseForNode(t *testing.T) {
	const nodes = `{"web": [{"SrcIPs": ["10.0.0.9"], "DstPorts": [{"IP": "*", "Ports": {"First": 443, "Last": 443}}], "IPProto": [6]}],
		"db": {"packet_filter_rules": [{"SrcIPs": ["10.0.0.1"], "DstPorts": [{"IP": "10.0.0.2", "Ports": {"First": 5432, "Last": 5432}}], "IPProto": [6]}]}, "new": null}`
	web, db := "tcp from 10.0.0.9/32 to 0.0.0.0/0:443, [::/0]:443", "tcp from 10.0.0.1/32 to 10.0.0.2/32:5432"
	tests := []struct {
		host  string
		rules []string
		local int
	}{{"web", []string{web}, 2}, {"db", []string{db}, 2}, {"new", nil, 2}, {"10.0.0.2", []string{web, db}, 1}, {"10.0.0.1", []string{web}, 1}}
	for _, tt := range tests {
		p, err := policy.ParseFor("f", []byte(nodes), tt.host)
		if err != nil || !slices.Equal(rulesOf(p), tt.rules) || len(p.Config().Local) != tt.local {
			t.Errorf("%s: %v", tt.host, err)
		}
	}
	if _, err := policy.ParseFor("f", []byte(nodes), "mail"); err == nil || !strings.Contains(err.Error(), `read for "mail"`) {
		t.Errorf("err = %v", err)
	}
}

// TestPermit gives the filter what the file permits.
func TestPermit(t *testing.T) {
	p := mustParse(t, `{"permit": ["multicast", "link-local", "mapped", "martian"], "local": "10.0.0.1"}`)
	if c := p.Config().Permit; !c.Multicast || !c.LinkLocal || !c.Mapped || !c.Martian {
		t.Errorf("got %+v", c)
	}
	old := mustParse(t, `{"local": "*", "accept": [{"proto": "udp", "src": "10.0.0.0/8", "dst": "*:5353"}]}`)
	next := mustParse(t, `{"permit": "multicast", "local": "*", "accept": [{"proto": "udp", "src": "10.0.0.0/8", "dst": "*:5353"}]}`)
	changes, err := policy.Diff(old, next)
	if err != nil || len(changes) != 1 || changes[0].String() != "becomes allowed: udp from 10.0.0.0/8 to 224.0.0.0/4, port 5353" {
		t.Errorf("got %v, %v", changes, err)
	}
}
