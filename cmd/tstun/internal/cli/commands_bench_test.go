package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/control/controltest"
	"tstun/cmd/tstun/internal/ui"
)

// BenchmarkCommands is whole commands, from start to end, against a tunnel that runs with
// 100,000 open flows and 10,000 refused ones, 10,000 rules and 64 peers. The policy of plan
// is without the rule that let in all flows: it would cut all.
func BenchmarkCommands(b *testing.B) {
	dir, file := controltest.Crowd(b, 100_000, 10_000)
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	next := file + ".next"
	text = bytes.Replace(text, []byte(`"src": "10.10.0.0/16", "dst": "web:53"`), []byte(`"src": "10.10.0.0/16", "dst": "web:54"`), 1)
	if err := os.WriteFile(next, text, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"plan", []string{"policy", "plan", next}, 1, "100,000 open flows would be cut"},
		{"plan-json", []string{"policy", "plan", "--json", next}, 1, `"peer": "peer63"`},
		{"suggest", []string{"policy", "suggest"}, 0, "+"},
		{"tighten", []string{"policy", "suggest", "--tighten"}, 0, "-"},
		{"usage", []string{"policy", "usage"}, 0, "100,000"},
		{"matrix", []string{"policy", "matrix"}, 0, "web"},
		{"record", []string{"check", next, "--record"}, 0, "+"},
		{"flows", []string{"flows"}, 0, "flows,"},
		{"flows-json", []string{"flows", "--json"}, 0, `"total"`},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				var out, errs bytes.Buffer
				env := ui.Environment{Stdin: bytes.NewReader(nil), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
				code := Run(b.Context(), env, append(c.args, "--state-dir", dir))
				if code != c.code || !strings.Contains(out.String()+errs.String(), c.says) {
					b.Fatalf("%d: %.500s %s", code, &out, &errs)
				}
			}
		})
	}
}
