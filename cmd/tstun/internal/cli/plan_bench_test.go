package cli

import (
	"bytes"
	"os"
	"testing"

	"tstun/cmd/tstun/internal/control/controltest"
	"tstun/cmd/tstun/internal/ui"
)

// BenchmarkPlan is the command policy plan, from its start to its end, against a tunnel
// that runs with 100,000 open flows and 10,000 refused ones, 10,000 rules and 64 peers:
// a policy without its last rule, which would cut all of them.
func BenchmarkPlan(b *testing.B) {
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
	for b.Loop() {
		var out, errs bytes.Buffer
		env := ui.Environment{Stdin: bytes.NewReader(nil), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := Run(b.Context(), env, []string{"policy", "plan", next, "--state-dir", dir}); code != 1 || !bytes.Contains(errs.Bytes(), []byte("100,000 open flows would be cut")) {
			b.Fatalf("%d: %.200s %s", code, &out, &errs)
		}
	}
}
