package pair

import (
	"fmt"
	"image/color"

	"github.com/boombuler/barcode/qr"
)

// quietZone is the light border that a reader needs, in modules: ISO/IEC 18004
// §6.3.8.
const quietZone = 4

// QR returns the rows of a QR code of the second end's file, with the light
// border around it: true is a dark module. Apps of WireGuard read such a code.
// It has the least error correction, level L, since a screen has no stains, and
// is the smaller for it.
func (p *Pair) QR() ([][]bool, error) {
	e := &p.Ends[1]
	code, err := qr.Encode(string(e.Text), qr.L, qr.Unicode)
	if err != nil {
		return nil, fmt.Errorf("%s as a QR code: %w", e.File(), err)
	}
	size := code.Bounds().Dx()
	rows := make([][]bool, size+2*quietZone)
	for y := range rows {
		rows[y] = make([]bool, len(rows))
	}
	for y := range size {
		for x := range size {
			rows[y+quietZone][x+quietZone] = code.At(x, y) == color.Black
		}
	}
	return rows, nil
}
