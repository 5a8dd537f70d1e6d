package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The session with a policy that README.md shows is what the tool says.
func TestReadmeSession(t *testing.T) {
	data, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, readme, _ := strings.Cut(string(data), "\n## A policy in a file\n")
	_, rest, found := strings.Cut(readme, "\n```\n{\n")
	policy, _, closed := strings.Cut(rest, "\n```\n")
	_, rest, shown := strings.Cut(readme, "\n```console\n")
	session, _, ended := strings.Cut(rest, "```\n")
	if !found || !closed || !shown || !ended {
		t.Fatal("README.md has no policy, or no session")
	}
	policy = "{\n" + policy + "\n"
	old := strings.NewReplacer("web:80,443", "web:80", `"accept": "web:443", `, "").Replace(policy)
	if old == policy {
		t.Fatal("old.hujson is as policy.hujson")
	}
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"policy.hujson": policy, "old.hujson": old} {
		if err := os.WriteFile(filepath.Join(".", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got strings.Builder
	for line := range strings.Lines(session) {
		if args, ok := strings.CutPrefix(line, "$ tstun "); ok {
			_, stdout, stderr := runTool(strings.Fields(args)...)
			got.WriteString(line + stdout + stderr)
		}
	}
	if got.String() != session || !strings.Contains(session, "$ tstun explain") {
		t.Errorf("got\n%s\nREADME.md has\n%s", got.String(), session)
	}
}
