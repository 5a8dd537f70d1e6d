package proxy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/proxy"
)

var long = strings.Repeat("a", 254)

func TestParse(t *testing.T) {
	parsers := map[string]func(string) (string, error){
		"forward": func(s string) (string, error) { r, err := proxy.ParseForward(s); return r.String(), err },
		"expose":  func(s string) (string, error) { r, err := proxy.ParseExpose(s); return r.String(), err },
		"listen":  func(s string) (string, error) { e, err := proxy.ParseListen(s); return e.String(), err },
		"to":      func(s string) (string, error) { e, err := proxy.ParseDestination(s); return e.String(), err },
	}
	tests := []struct {
		form, in string
		column   int // 0: it is right
		want     string
	}{
		{"forward", "tcp:8080=10.0.0.2:80", 0, "tcp:127.0.0.1:8080=10.0.0.2:80"},
		{"forward", "udp:0=dns.internal:53", 0, "udp:127.0.0.1:0=dns.internal:53"},
		{"forward", "tcp:[::1]:8080=[fd00::2]:80", 0, "tcp:[::1]:8080=[fd00::2]:80"},
		{"forward", "tcp:localhost:8080=_x.a-b:1", 0, "tcp:127.0.0.1:8080=_x.a-b:1"},
		{"forward", "tcp:0.0.0.0:65535=a:65535", 0, "tcp:0.0.0.0:65535=a:65535"},
		{"forward", "tcp:[fe80::1%eth0]:1=a:1", 0, "tcp:[fe80::1%eth0]:1=a:1"},
		{"forward", "", 1, "neither tcp: nor udp:"},
		{"forward", "sctp:1=a:1", 1, "neither tcp: nor udp:"},
		{"forward", "TCP:1=a:1", 1, "neither tcp: nor udp:"},
		{"forward", "8080=10.0.0.2:80", 1, "neither tcp: nor udp:"},
		{"forward", "tcp:8080", 9, "no ="},
		{"forward", "tcp:=a:1", 5, "no port"},
		{"forward", "tcp:8080=", 10, "no port"},
		{"forward", "tcp:8080=a", 11, "no port"},
		{"forward", "tcp:8080=80", 12, "no port"},
		{"forward", "tcp:8080=a:", 12, "no port"},
		{"forward", "tcp:8080=a:0", 12, "from 1 to 65535"},
		{"forward", "tcp:65536=a:1", 5, "from 0 to 65535"},
		{"forward", "tcp:8080=a:http", 12, `"http" is no port`},
		{"forward", "tcp:8080=a:+1", 12, `"+1" is no port`},
		{"forward", "tcp::8080=a:1", 5, "0.0.0.0 stands for all"},
		{"forward", "tcp:8080=:1", 10, "no host"},
		{"forward", "tcp:fd00::1:80=a:1", 5, "needs brackets, [fd00::1]"},
		{"forward", "tcp:[fd00::1=a:1", 5, "not closed"},
		{"forward", "tcp:[10.0.0.1]:80=a:1", 6, "no IPv6 address"},
		{"forward", "tcp:[fd00::1]80=a:1", 14, "no port"},
		{"forward", "tcp:[fd00::1]=a:1", 14, "no port"},
		{"forward", "tcp:web:80=a:1", 5, `"web" is no address`},
		{"forward", "tcp:8080=a b:1", 11, `" " cannot be in a name`},
		{"forward", "tcp:8080=http://a:1", 10, "needs brackets"},
		{"forward", "tcp:8080=a/b:1", 11, `"/" cannot`},
		{"forward", "tcp:8080=a\x00:1", 11, "cannot"},
		{"forward", "tcp:8080=é:1", 10, "cannot"},
		{"forward", "tcp:8080=" + long + ":1", 263, "at most 253"},
		{"expose", "tcp:80=127.0.0.1:8080", 0, "tcp::80=127.0.0.1:8080"},
		{"expose", "udp:53=5353", 0, "udp::53=127.0.0.1:5353"},
		{"expose", "tcp:80=[::1]:8080", 0, "tcp::80=[::1]:8080"},
		{"expose", "tcp:0=1", 5, "from 1 to 65535"},
		{"expose", "tcp:10.0.0.1:80=1", 5, "no port number"},
		{"expose", "tcp:80=", 8, "no port"},
		{"expose", "tcp:80=0", 8, "from 1 to 65535"},
		{"listen", "1080", 0, "127.0.0.1:1080"},
		{"listen", "[::]:1080", 0, "[::]:1080"},
		{"listen", "0.0.0.0:0", 0, "0.0.0.0:0"},
		{"listen", "", 1, "no port"},
		{"listen", "127.0.0.1", 1, "no port number"},
		{"listen", "127.0.0.1:", 11, "no port"},
		{"listen", ":1080", 1, "no host"},
		{"to", "git.example:22", 0, "git.example:22"},
		{"to", "[fd00::2]:22", 0, "[fd00::2]:22"},
		{"to", "git.example", 12, "no port"},
		{"to", "22", 3, "no port"},
	}
	for _, tt := range tests {
		t.Run(tt.form+" "+fmt.Sprintf("%.30s", tt.in), func(t *testing.T) {
			got, err := parsers[tt.form](tt.in)
			if tt.column == 0 {
				if err != nil || got != tt.want {
					t.Errorf("got %s, %v, want %s", got, err, tt.want)
				}
				return
			}
			var s *proxy.SyntaxError
			if !errors.As(err, &s) {
				t.Fatalf("got %v", err)
			}
			if s.Column != tt.column || !strings.Contains(s.Problem, tt.want) || s.Value != tt.in {
				t.Errorf("got %v, want column %d with %q", err, tt.column, tt.want)
			}
			if _, err := parsers[tt.form](s.Write); err != nil {
				t.Errorf("its advice is wrong: %v", err)
			}
		})
	}
}

// What is read is what its text form reads as again; the column is in the text.
func FuzzParseForward(f *testing.F) {
	for _, s := range []string{"tcp:8080=10.0.0.2:80", "udp:[::1]:0=[fd00::2%a]:80", "tcp:localhost:1=a:1", "tcp:=", "tcp:[=", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := proxy.ParseForward(s)
		var syntax *proxy.SyntaxError
		if errors.As(err, &syntax) {
			if syntax.Column < 1 || syntax.Column > len(s)+1 {
				t.Errorf("%v: column %d of %d bytes", err, syntax.Column, len(s))
			}
			return
		}
		if again, err2 := proxy.ParseForward(r.String()); err != nil || err2 != nil || again != r {
			t.Errorf("%q is %v, %v, and again %v, %v", s, r, err, again, err2)
		}
	})
}
