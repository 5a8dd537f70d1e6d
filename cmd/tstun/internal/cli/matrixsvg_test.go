package cli

import (
	"bytes"
	"encoding/xml"
	"slices"
	"testing"

	"tstun/cmd/tstun/internal/ui"
	"tstun/policy"
)

// The picture of a matrix is XML, with a rectangle for each cell, all of them inside.
func TestMatrixPicture(t *testing.T) {
	p, err := policy.Parse("f", []byte(`{"local": "*", "accept": [{"src": "10.0.0.1", "dst": "10.0.0.2:1,3,5,7,9,11,13,15,17,19,21,23,25,27,29"}, {"src": "*", "dst": "10.0.0.3:*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := policy.MatrixOf(p)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := writeMatrixSVG(ui.Environment{Stdout: &b}, m, true); err != nil {
		t.Fatal(err)
	}
	type rect struct {
		Class  string `xml:"class,attr"`
		X      int    `xml:"x,attr"`
		Y      int    `xml:"y,attr"`
		Width  int    `xml:"width,attr"`
		Height int    `xml:"height,attr"`
	}
	var picture struct {
		Width  int `xml:"width,attr"`
		Height int `xml:"height,attr"`
		Cells  []struct {
			Title string `xml:"title"`
			Rect  rect   `xml:"rect"`
		} `xml:"g"`
	}
	d := xml.NewDecoder(bytes.NewReader(b.Bytes()))
	if err := d.Decode(&picture); err != nil {
		t.Fatal(err)
	}
	if rest := b.Bytes()[d.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		t.Errorf("behind the picture: %q", rest)
	}
	if want := (len(m.Srcs) + 1) * (len(m.Dsts) + 1); len(picture.Cells) != want {
		t.Errorf("%d cells, want %d", len(picture.Cells), want)
	}
	var titles []string
	for _, c := range picture.Cells {
		titles = append(titles, c.Title)
		if c.Rect.X+c.Rect.Width > picture.Width || c.Rect.Y+c.Rect.Height > picture.Height || c.Rect.Width <= 0 {
			t.Errorf("%+v is not inside of %d by %d", c.Rect, picture.Width, picture.Height)
		}
	}
	if want := "any other to 10.0.0.3: + tcp,udp,icmp *"; !slices.Contains(titles, want) {
		t.Errorf("no cell says %q: %q", want, titles)
	}
}
