package documents

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
	namedTest = regexp.MustCompile("(?:([\\w/]+) )?`((?:Test|Fuzz|Benchmark|Example)[A-Z]\\w*)(…?)[^`]*`")
)

// testsInTree returns the names of the tests of each directory, also of those
// for other systems and of other modules.
func testsInTree(t *testing.T) map[string][]string {
	t.Helper()
	tests := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, m := range testFunc.FindAllStringSubmatch(readFile(t, path), -1) {
			tests[dir] = append(tests[dir], m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// hasTest reports whether there is a test of that name, or, if the rest of the
// name is left out, one that begins so.
func hasTest(names []string, name string, begins bool) bool {
	for _, n := range names {
		if n == name || begins && strings.HasPrefix(n, name) {
			return true
		}
	}
	return false
}

// wrongTests returns the tests that a document names and that are not there:
// nowhere, or not in the package that stands before the name.
func wrongTests(document string, tests map[string][]string) (wrong []string, named int) {
	var all []string
	for _, names := range tests {
		all = append(all, names...)
	}
	for _, m := range namedTest.FindAllStringSubmatch(document, -1) {
		named++
		names, where := tests[m[1]]
		if !where && !strings.Contains(m[1], "/") { // a word of the sentence, not a package
			names = all
		}
		if !hasTest(names, m[2], m[3] != "") {
			wrong = append(wrong, m[0])
		}
	}
	return wrong, named
}

// Each test that docs/lessons.md names is there, in the package that it names.
func TestLessonsNameTests(t *testing.T) {
	inRoot(t)
	wrong, named := wrongTests(readFile(t, "docs/lessons.md"), testsInTree(t))
	for _, name := range wrong {
		t.Errorf("docs/lessons.md names %s, which is not there", name)
	}
	if named < 100 {
		t.Errorf("only %d tests found in docs/lessons.md", named)
	}
}

// The other documents name no test that is not there.
func TestDocumentsNameTests(t *testing.T) {
	inRoot(t)
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testsInTree(t)
	total := 0
	for _, document := range append(documents, "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md") {
		if _, err := os.Stat(document); err != nil {
			t.Error(err)
			continue
		}
		wrong, named := wrongTests(readFile(t, document), tests)
		total += named
		for _, name := range wrong {
			t.Errorf("%s names %s, which is not there", document, name)
		}
	}
	if total < 20 {
		t.Errorf("only %d tests found in the documents", total)
	}
}

// A test that is missing, or is in another package, is noticed.
func TestWrongTestsAreNoticed(t *testing.T) {
	tests := map[string][]string{"filter": {"TestSwap"}, "internal/gso": {"FuzzJoiner", "TestLesson06Segments"}}
	for document, want := range map[string]string{
		"filter `TestSwap/…/revoked`, internal/gso `FuzzJoiner`": "",
		"`TestLesson06…`": "",
		"`TestSwop`":      "`TestSwop`",
		"`TestSwa`":       "`TestSwa`",
		"`TestLesson07…`": "`TestLesson07…`",
		"flow `TestGone`": "flow `TestGone`",
		"filter `TestSwap…`, internal/gso `TestSwap`": "internal/gso `TestSwap`",
		"the test `TestSwap`, cmd/tool `TestSwap`":    "cmd/tool `TestSwap`",
	} {
		wrong, _ := wrongTests(document, tests)
		if got := strings.Join(wrong, " "); got != want {
			t.Errorf("%s: got %q, want %q", document, got, want)
		}
	}
}

// ARCHITECTURE.md says of each file of the root what it holds.
func TestArchitectureNamesFiles(t *testing.T) {
	inRoot(t)
	house := readFile(t, "ARCHITECTURE.md")
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && !strings.Contains(house, "`"+file+"`") {
			t.Errorf("ARCHITECTURE.md does not name %s", file)
		}
	}
	internal, err := filepath.Glob("internal/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range internal {
		if name := filepath.Base(dir); !regexp.MustCompile(`\b` + name + `\b`).MatchString(house) {
			t.Errorf("ARCHITECTURE.md does not name %s", dir)
		}
	}
}
