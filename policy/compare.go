package policy

// differ compares two policies in one IP version. It is a visitor of the rules
// of both.
type differ struct {
	version int
	work    *work
	lists   [][]span       // normal, each once
	intern  map[string]int // their index, by their bytes
	boxes   []box
	src     int // the list of sources that is looked at

	noSrcs, noDsts []span // that neither policy lets get as far as the rules
}

// Sides of a differ.
const (
	inOld side = 1 << iota
	inNew
	inBoth = inOld | inNew
)

// skip reports whether all clauses are in both policies.
func (d *differ) skip(here []clause) bool {
	for _, c := range here {
		if c.side != inBoth {
			return false
		}
	}
	return true
}

func (d *differ) sources(src []span) bool {
	if src = passing(src, d.noSrcs); len(src) == 0 {
		return false
	}
	d.src = d.list(src)
	return true
}

// cell compares protocols and ports.
func (d *differ) cell(dst []span, here []clause) error {
	if dst = passing(dst, d.noDsts); len(dst) == 0 {
		return nil
	}
	s, err := servicesOf(here, d.work)
	if err != nil {
		return err
	}
	to := d.list(dst)
	s.bySide(here, func(is side, protos, ports []span) {
		if is == inOld || is == inNew {
			d.boxes = append(d.boxes, box{is, [...]int{d.list(protos), d.list(ports), d.src, to}})
		}
	})
	if !d.work.take(1) {
		return ErrTooLarge
	}
	return nil
}

// passing returns the spans that are not wholly blocked.
func passing(spans, blocked []span) []span {
	var pass []span
	for _, s := range spans {
		if !inside(s, blocked) {
			pass = append(pass, s)
		}
	}
	return pass
}

// list returns the index of a normal list, which it keeps.
func (d *differ) list(spans []span) int {
	d.work.take(1 + len(spans)) // who asks next is told that there is none left
	key := string(appendSpans(make([]byte, 0, 8+32*len(spans)), spans))
	i, ok := d.intern[key]
	if !ok {
		i = len(d.lists)
		d.lists = append(d.lists, spans)
		d.intern[key] = i
	}
	return i
}
