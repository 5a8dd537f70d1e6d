package policy_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tstun/policy"
)

// portOf returns the ports that a policy gives a service's name.
func portOf(t *testing.T, name, proto string) (string, error) {
	t.Helper()
	p, err := policy.Parse("f", []byte(fmt.Sprintf(`{"local": "*", "accept": [{"proto": %q, "src": "*", "dst": "10.0.0.1:%s"}]}`, proto, name)))
	if err != nil {
		return "", err
	}
	return p.Config().Matches[0].Dsts[0].Ports.String(), nil
}

func TestServices(t *testing.T) {
	tests := []struct{ name, proto, want string }{
		{"ssh", "tcp", "22"}, {"https", "udp", "443"}, {"domain", "udp", "53"}, {"www", "tcp", "80"},
		{"ftp-data", "tcp", "20"}, {"8080,ssh,90-99", "tcp", "22"}, {"dicom", "tcp", "104"}, {"sge_execd", "tcp", "6445"},
	}
	for _, tt := range tests {
		if got, err := portOf(t, tt.name, tt.proto); err != nil || got != tt.want {
			t.Errorf("%s/%s is port %s, want %s; %v", tt.name, tt.proto, got, tt.want, err)
		}
	}
	for _, tt := range []struct{ name, proto, want string }{
		{"ssh", "udp", `service "ssh": a service of tcp: want it in a rule for that, or the port's number`},
		{"echo", "sctp", `service "echo": a service of tcp and udp`},
		{"htttps", "tcp", `service "htttps": not known: want a port's number, or a service such as https`},
		{"HTTPS", "tcp", "such as https"},
		{"nosuchthing", "tcp", "a service of Debian's /etc/services, such as https"},
		{"80-ssh", "tcp", `service "80-ssh": not known`},
		{"22,0", "tcp", "port 0 alone is no service's"},
	} {
		if got, err := portOf(t, tt.name, tt.proto); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s/%s: %s, %v; want %s", tt.name, tt.proto, got, err, tt.want)
		}
	}
	// Of the default protocols any will do.
	p := mustParse(t, `{"local": "*", "accept": [{"src": "*", "dst": "10.0.0.1:ssh,https"}]}`)
	if got := rulesOf(p)[0]; got != "tcp,udp,icmpv4,icmpv6 from 0.0.0.0/0, ::/0 to 10.0.0.1/32:22, 10.0.0.1/32:443" {
		t.Errorf("got %s", got)
	}
}

// TestServicesOfDebian compares the table with the file that it was generated
// from, where that is installed in the same version.
func TestServicesOfDebian(t *testing.T) {
	table, err := os.ReadFile("services_table.go")
	if err != nil {
		t.Fatal(err)
	}
	version, err := exec.Command("dpkg-query", "--showformat=${Version}", "--show", "netbase").Output()
	if err != nil || !strings.Contains(string(table), "netbase "+string(version)+".") {
		t.Logf("another netbase here: %q, %v", version, err)
		return
	}
	data, err := os.ReadFile("/etc/services")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		port, proto, _ := strings.Cut(fields[1], "/")
		for _, name := range append(fields[:1:1], fields[2:]...) {
			if key := name + "/" + proto; proto == "ddp" || seen[key] {
				continue // no protocol of IP, or not the first
			} else {
				seen[key] = true
			}
			if got, err := portOf(t, name, proto); err != nil || got != port {
				t.Errorf("%s/%s is port %s, want %s; %v", name, proto, got, port, err)
			}
		}
	}
	if len(seen) != strings.Count(string(table), "ipproto.") {
		t.Errorf("%d names, %d in the table", len(seen), strings.Count(string(table), "ipproto."))
	}
}
