package documents

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// block returns the first code block of that language in a document.
func block(t *testing.T, document, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(document, "\n```"+language+"\n")
	code, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("no block of %s", language)
	}
	return code + "\n"
}

// program returns README.md's program.
func program(t *testing.T, readme string) string {
	t.Helper()
	_, rest, found := strings.Cut(readme, "\n```go\npackage main\n")
	if !found {
		t.Fatal("README.md has no program")
	}
	code, _, _ := strings.Cut(rest, "\n```\n")
	return "package main\n" + code + "\n"
}

// README.md's lines of Go are in the Example, which is compiled and run.
func TestReadmeLines(t *testing.T) {
	inRoot(t)
	example := readFile(t, "tunnel/example_file_test.go")
	for line := range strings.Lines(block(t, readFile(t, "README.md"), "go")) {
		if !strings.Contains(example, "\t"+line) {
			t.Errorf("tunnel/example_file_test.go has no line %s", line)
		}
	}
}

// README.md's program is the Example, which is compiled and run.
func TestReadmeProgram(t *testing.T) {
	inRoot(t)
	want := strings.NewReplacer("package tstun_test", "package main", "func Example_readme()", "func main()").
		Replace(readFile(t, "example_readme_test.go"))
	if got := program(t, readFile(t, "README.md")); got != want {
		t.Errorf("README.md has\n%s\nexample_readme_test.go has\n%s", got, want)
	}
}

// README.md's ways to import a module that is not published work, one after
// the other, from an empty directory and without a network, and the program
// says then what it is to say. Of the vendored one it is only asked whether all
// packages are there without the clone: compiling all of them anew takes minutes.
func TestReadmeImports(t *testing.T) {
	inRoot(t)
	if testing.Short() {
		t.Skip("it links two programs")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("no go: %v", err)
	}
	readme := readFile(t, "README.md")
	dir := t.TempDir()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, filepath.Join(dir, "tstun")); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	saved := filepath.Join(dir, "program")
	if err := os.WriteFile(saved, []byte(program(t, readme)), 0o600); err != nil {
		t.Fatal(err)
	}
	const save, withoutClone = "# save the program above as main.go", "mv ../tstun ../gone && go list -deps . >packages && mv ../gone ../tstun"
	script := block(t, readme, "sh")
	for _, line := range []string{save, "go mod vendor\n"} {
		if strings.Count(script, line) != 1 {
			t.Fatalf("want one %q in\n%s", line, script)
		}
	}
	script = strings.Replace(script, save, "cp "+saved+" main.go", 1)
	script = strings.Replace(script, "go mod vendor\n", "go mod vendor\n"+withoutClone+"\n", 1)
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOSUMDB=off", "GOFLAGS=", "GOWORK=", "PATH="+filepath.Dir(goTool)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "GOPROXY=off") {
		t.Skipf("modules are missing, which go mod download fetches: %s", out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := strings.Count(string(out), "rule 0 comes nearest: port 22 is not in 443\nmap[]\n0\n"); got != 2 {
		t.Errorf("the program ran %d times, want 2:\n%s", got, out)
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// What the documents link to is there.
func TestDocumentLinks(t *testing.T) {
	inRoot(t)
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, document := range append(documents, "README.md") {
		for _, m := range link.FindAllStringSubmatch(readFile(t, document), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), m[1])); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
	if links < 5 {
		t.Errorf("only %d links found", links)
	}
}
