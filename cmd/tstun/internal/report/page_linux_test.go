package report_test

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/cli"
	"tstun/cmd/tstun/internal/report"
	"tstun/cmd/tstun/internal/ui"
)

// shotsEnv names a directory into which pictures of whole pages are written, to be looked
// at.
const shotsEnv = "TSTUN_REPORT_PICTURES"

// A real browser shows the page, light and dark, on a screen and a phone, and prints it:
// it logs nothing and asks for nothing, nothing is wider than the phone, and there is
// something to see.
func TestPageInBrowser(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(html(t, collect(t, newSample(), report.Options{}))), 0o600); err != nil {
		t.Fatal(err)
	}
	b.open(file)
	seen := make(map[string]string)
	for _, width := range []int{1280, 400} {
		for _, scheme := range []string{"light", "dark"} {
			b.show(width, scheme)
			name := fmt.Sprintf("%d-%s", width, scheme)
			if got := b.number("document.documentElement.scrollWidth"); got > width {
				t.Errorf("%s: the page is %d wide", name, got)
			}
			shot := b.picture(false)
			if n := colours(t, shot); n < 50 {
				t.Errorf("%s: %d colours are seen", name, n)
			}
			for other, picture := range seen {
				if picture == string(shot) {
					t.Errorf("%s is the same as %s", name, other)
				}
			}
			seen[name] = string(shot)
			keep(t, name+".png", func() []byte { return b.picture(true) })
		}
	}
	pdf := b.pdf()
	if pages := bytes.Count(pdf, []byte("/Type /Page\n")) + bytes.Count(pdf, []byte("/Type /Page ")); !bytes.HasPrefix(pdf, []byte("%PDF-")) || pages < 2 || pages > 8 {
		t.Errorf("printed, it has %d pages in %d bytes", pages, len(pdf))
	}
	keep(t, "report.pdf", func() []byte { return pdf })
	if c := b.complaints(); len(c) > 0 {
		t.Errorf("the page: %s", strings.Join(c, "\n"))
	}
	b.open(matrixPicture(t))
	for _, scheme := range []string{"light", "dark"} {
		b.show(1280, scheme)
		shot := b.picture(false)
		if n := colours(t, shot); n < 5 {
			t.Errorf("the matrix, %s: %d colours are seen", scheme, n)
		}
		keep(t, "matrix-"+scheme+".png", func() []byte { return shot })
	}
	if c := b.complaints(); len(c) > 0 {
		t.Errorf("the matrix: %s", strings.Join(c, "\n"))
	}
}

// matrixPicture returns the file of a picture that tstun policy matrix --svg made.
func matrixPicture(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	policy, picture := filepath.Join(dir, "policy.hujson"), filepath.Join(dir, "matrix.svg")
	text := `{"hosts": {"web": "10.0.0.1", "anna": "10.0.0.2"}, "local": "web", "accept": [{"src": "anna", "dst": "web:22,80"}, {"src": "*", "dst": "web:443"}]}`
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	env := ui.Environment{Stdin: new(bytes.Buffer), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	if code := cli.Run(t.Context(), env, []string{"policy", "matrix", policy, "--svg"}); code != 0 {
		t.Fatalf("%d: %s", code, &errs)
	}
	if err := os.WriteFile(picture, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return picture
}

// keep writes a picture to be looked at.
func keep(t *testing.T, name string, data func() []byte) {
	if dir := os.Getenv(shotsEnv); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name), data(), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// colours returns how many colours a picture has, of every third pixel each way.
func colours(t *testing.T, shot []byte) int {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	type colour struct{ r, g, b uint32 }
	seen := make(map[colour]bool)
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y += 3 {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x += 3 {
			r, g, b, _ := picture.At(x, y).RGBA()
			seen[colour{r, g, b}] = true
		}
	}
	return len(seen)
}
