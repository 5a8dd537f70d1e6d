package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/ui"
)

// TestManual: each command has a page with its flags, of which one is --json, and exit
// codes, in the language of man(7), and no page refers to one that is not there.
func TestManual(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	var out, errs bytes.Buffer
	env := ui.Environment{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	if code := Run(t.Context(), env, []string{"man", dir}); code != 0 {
		t.Fatalf("%d: %s", code, &errs)
	}
	root := newRoot(env, new(document))
	pages := make(map[string]string)
	var textAlone []string
	for _, c := range manualOf(root) {
		if !c.HasSubCommands() && c.Flags().Lookup("json") == nil {
			textAlone = append(textAlone, c.CommandPath())
		}
		data, err := os.ReadFile(filepath.Join(dir, pageName(c)+".1"))
		if err != nil {
			t.Error(err)
			continue
		}
		pages[pageName(c)] = string(data)
		for _, want := range []string{`.TH "`, `.SH "NAME"`, `.SH "SYNOPSIS"`, `.SH "DESCRIPTION"`, ".SH \"OPTIONS\"\n.TP\n", ".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fP\n", `.SH "SEE ALSO"`, `\fB\-h, \-\-help\fP`} {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s has no %q", c.CommandPath(), want)
			}
		}
	}
	if len(pages) < 25 || !strings.Contains(pages["tstun-capture"], "\n\\fB\\-\\-since TIME\\fP\n") || !strings.Contains(pages["tstun-capture"], `sudo tstun capture \-c 20`) {
		t.Errorf("%d pages, %s", len(pages), pages["tstun-capture"])
	}
	for name, page := range pages {
		for _, m := range regexp.MustCompile(`(tstun[a-z\\-]*)\(1\)`).FindAllStringSubmatch(page, -1) {
			if pages[strings.ReplaceAll(m[1], `\`, "")] == "" {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
	}
	// Each command that tells something has it as JSON, too; up has --log-format json.
	want := []string{"completion bash", "completion fish", "completion powershell", "completion zsh", "connect", "down", "help", "top", "up", "version"}
	if got := strings.ReplaceAll(strings.Join(textAlone, ","), "tstun ", ""); got != strings.Join(want, ",") {
		t.Errorf("without --json: %s\nwant %s", got, want)
	}
	lint(t, dir)
	if code := Run(t.Context(), env, []string{"man"}); code != 2 {
		t.Errorf("no directory: %d", code)
	}
}

// lint has mandoc look at the pages, where it is there.
func lint(t *testing.T, dir string) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Log("without mandoc")
		return
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.1"))
	if out, err := exec.Command(mandoc, append([]string{"-T", "lint", "-W", "error"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
