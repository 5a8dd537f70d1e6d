package control_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/control"
)

const document = "../../../../docs/api.md"

// docs/api.md tells of every endpoint, with its method.
func TestDocumentNamesRoutes(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range control.Routes() {
		if heading := "\n## " + r[0] + " " + r[1] + "\n"; !strings.Contains(string(text), heading) && !strings.Contains(string(text), "`"+r[1]+"`") {
			t.Errorf("%s does not tell of %s %s", document, r[0], r[1])
		}
	}
	for line := range strings.Lines(string(text)) {
		if method, path, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "## ")), " "); ok && strings.HasPrefix(line, "## ") && strings.HasPrefix(path, "/") {
			known := false
			for _, r := range control.Routes() {
				known = known || r == [2]string{method, path}
			}
			if !known {
				t.Errorf("%s tells of %s %s, which is not there", document, method, path)
			}
		}
	}
}

// The examples of docs/api.md run, in their order.
func TestDocumentExamples(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, b := pair(t)
	s, _ := serve(t, b)
	go func() {
		<-s.Down()
		s.Close(b.Close())
	}()
	ran := 0
	for _, block := range strings.Split(string(text), "\n```sh\n")[1:] {
		command, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(command, "curl") {
			continue // tstun's own is in the scripts of package cli
		}
		cmd := exec.CommandContext(within(t), "sh", "-c", command)
		cmd.Env = append(os.Environ(), "SOCKET="+s.Path())
		if strings.Contains(command, "/v1/down") { // which ends the Server: comes last
			defer func() {
				out, err := cmd.CombinedOutput()
				if err != nil || strings.Count(string(out), "\n") != 2 || !strings.Contains(string(out), `{"state":"ended"`) {
					t.Errorf("%s: %v: %s", command, err, out)
				}
			}()
			ran++
			continue
		}
		out, err := cmd.CombinedOutput()
		ran++
		if err != nil || len(out) == 0 && !strings.Contains(command, "/v1/events") { // of which there may be none
			t.Errorf("%s: %v: %s", command, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(command, "pprof") && !json.Valid([]byte(line)) {
				t.Errorf("%s: %s", command, line)
			}
		}
		if strings.Contains(string(out), `"error":`) != strings.Contains(command, "/v1/reload") { // which this Server refuses
			t.Errorf("%s: %s", command, out)
		}
	}
	if ran < 7 {
		t.Errorf("%d examples ran", ran)
	}
}
