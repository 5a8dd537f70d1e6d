package layering

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// otherSystems are those whose packages are type-checked: each that the project names,
// and those where an int has 32 bits.
var otherSystems = []string{"windows/amd64", "darwin/arm64", "freebsd/amd64", "openbsd/amd64", "android/arm64", "linux/arm", "linux/386"}

// TestOtherSystems type-checks all packages as they are built for other systems.
// A compiler would take minutes for what they link; of that, the declarations
// are read here. With tests, those of what differs most are checked as well.
func TestOtherSystems(t *testing.T) {
	for _, system := range otherSystems {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			goos, goarch, _ := strings.Cut(system, "/")
			c := checker{t: t, files: token.NewFileSet(), sizes: types.SizesFor("gc", goarch), known: map[string]*types.Package{"unsafe": types.Unsafe}}
			ours := 0
			for _, p := range packagesFor(t, goos, goarch, "./...") {
				if c.check(p); isOurs(p.ImportPath) {
					ours++
				}
			}
			tests := 0
			for _, p := range packagesFor(t, goos, goarch, "-test", "./tundev") {
				if c.known[p.ImportPath] == nil && !strings.HasSuffix(p.ImportPath, ".test") { // which go test writes
					c.check(p)
				}
				if strings.HasPrefix(p.ImportPath, module+"/tundev_test ") {
					tests += len(p.GoFiles)
				}
			}
			if tests < 5 {
				t.Errorf("%d files with tests of tundev", tests)
			}
			if ours < 30 {
				t.Errorf("%d packages", ours)
			}
		})
	}
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string
}

// packagesFor returns packages of the project and all that they import, each
// behind what it imports itself.
func packagesFor(t *testing.T, goos, goarch string, packages ...string) (all []listed) {
	t.Helper()
	out := goTool(t, []string{"GOOS=" + goos, "GOARCH=" + goarch, "CGO_ENABLED=0"}, append([]string{"list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap"}, packages...)...)
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// checker checks the packages of one system, in their order.
type checker struct {
	t     *testing.T
	files *token.FileSet
	sizes types.Sizes
	known map[string]*types.Package
}

func (c *checker) check(p listed) {
	if p.ImportPath == "unsafe" {
		return
	}
	ours := isOurs(p.ImportPath)
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(c.files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			c.t.Fatal(err)
		}
		files = append(files, f)
	}
	config := types.Config{
		Importer: imports{c.known, p.ImportMap}, Sizes: c.sizes, IgnoreFuncBodies: !ours,
		Error: func(err error) {
			if ours {
				c.t.Error(err)
			}
		},
	}
	c.known[p.ImportPath], _ = config.Check(p.ImportPath, c.files, files, nil) // which has told
}

// imports finds a package that was checked before.
type imports struct {
	known map[string]*types.Package
	as    map[string]string // an import's path to the package's, where they differ
}

// Import implements types.Importer.
func (i imports) Import(path string) (*types.Package, error) {
	if as, ok := i.as[path]; ok {
		path = as
	}
	if p := i.known[path]; p != nil {
		return p, nil
	}
	return nil, errors.New("not listed: " + path)
}
