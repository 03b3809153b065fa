package fake

import (
	"errors"
	"image"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/herald-im/herald/media/video"
)

// Camera shows a test picture: colour bars, a bar that moves, some snow, a name, the time of
// day in digits, and below it the same as blocks (see ReadTimeCode).
type Camera struct {
	name string
	tint byte

	// Fail, if it returns an error, makes Open fail; while Stall is set no picture
	// comes; Vanish ends the capture that runs with an error.
	Fail   func() error
	Stall  atomic.Bool
	vanish chan struct{}

	opened atomic.Int64
	open   atomic.Int64
}

// NewCamera makes a camera whose name is part of its picture.
func NewCamera(name string) *Camera {
	tint := byte(128)
	for i := range len(name) {
		tint = tint*31 + name[i]
	}
	return &Camera{name: name, tint: 96 + tint%64, vanish: make(chan struct{}, 1)}
}

// Name of the camera.
func (c *Camera) Name() string { return "fake " + c.name }

// Vanish has the capture that runs fail, as when a plug is pulled.
func (c *Camera) Vanish() { c.vanish <- struct{}{} }

// Opened is how often it was opened, and how many captures are open.
func (c *Camera) Opened() (times, open int64) { return c.opened.Load(), c.open.Load() }

// Open begins to draw.
func (c *Camera) Open(want video.Format) (video.Source, error) {
	if c.Fail != nil {
		if err := c.Fail(); err != nil {
			return nil, err
		}
	}
	want.Width, want.Height = max(want.Width&^1, 160), max(want.Height&^1, 120)
	if want.Rate <= 0 {
		want.Rate = 30
	}
	p := &picture{
		camera: c, format: want, closed: make(chan struct{}),
		ticker: time.NewTicker(time.Duration(float64(time.Second) / want.Rate)), free: make(chan *image.YCbCr, 8),
	}
	p.base = p.background()
	p.grain = make([]byte, 4096)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range p.grain {
		p.grain[i] = byte(64 + random.IntN(128))
	}
	c.opened.Add(1)
	c.open.Add(1)
	return p, nil
}

// errClosed and errVanished are what Read returns at the end.
var (
	errClosed   = errors.New("the camera was closed")
	errVanished = errors.New("the camera is gone")
)

// picture is an open Camera.
type picture struct {
	camera *Camera
	format video.Format
	ticker *time.Ticker
	base   *image.YCbCr
	grain  []byte
	free   chan *image.YCbCr
	once   sync.Once
	closed chan struct{}
	count  int
}

func (p *picture) Format() video.Format { return p.format }

func (p *picture) Close() error {
	p.once.Do(func() {
		p.ticker.Stop()
		close(p.closed)
		p.camera.open.Add(-1)
	})
	return nil
}

func (p *picture) Read() (*video.Frame, error) {
	for {
		select {
		case <-p.closed:
			return nil, errClosed
		case <-p.camera.vanish:
			return nil, errVanished
		case <-p.ticker.C:
		}
		if p.camera.Stall.Load() {
			continue
		}
		var img *image.YCbCr
		select {
		case img = <-p.free:
		default:
			img = image.NewYCbCr(p.base.Rect, image.YCbCrSubsampleRatio420)
		}
		now := time.Now()
		p.draw(img, now)
		return video.NewFrame(img, now, func() {
			select {
			case p.free <- img:
			default:
			}
		}), nil
	}
}

// background is what does not move.
func (p *picture) background() *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, p.format.Width, p.format.Height), image.YCbCrSubsampleRatio420)
	w, h := p.format.Width, p.format.Height
	for y := range h {
		row := img.Y[y*img.YStride : y*img.YStride+w]
		for x := range row {
			row[x] = byte(60 + 120*x/w + 20*y/h)
		}
	}
	for y := range h / 2 {
		cb, cr := img.Cb[y*img.CStride:y*img.CStride+w/2], img.Cr[y*img.CStride:y*img.CStride+w/2]
		for x := range cb {
			bar := byte(8 * x / (w / 2)) // eight colour bars
			cb[x], cr[x] = p.camera.tint+bar*9, 180-bar*13
		}
	}
	write(img, p.camera.name, 8, 8, max(1, w/320))
	return img
}

// draw makes the picture of a moment.
func (p *picture) draw(img *image.YCbCr, now time.Time) {
	copy(img.Y, p.base.Y)
	copy(img.Cb, p.base.Cb)
	copy(img.Cr, p.base.Cr)
	w, h := p.format.Width, p.format.Height
	p.count++
	x := p.count * 4 % (w - w/16)
	fill(img, image.Rect(x, h*5/16, x+w/16, h*7/16), 220)
	// Snow, a part of the picture that no encoder can foresee: without some, a test picture takes far less than a real one.
	for y := h / 8; y < h/4; y++ {
		from := (p.count*1031 + y*257) % (len(p.grain) - w/4)
		copy(img.Y[y*img.YStride+w/2:][:w/4], p.grain[from:])
	}
	scale := max(1, w/160)
	write(img, now.Format("15:04:05.000"), (w-12*7*scale)/2, h*7/16, scale)
	drawTimeCode(img, now)
}

// fill sets the brightness of a rectangle, and takes its colour away.
func fill(img *image.YCbCr, r image.Rectangle, luma byte) {
	r = r.Intersect(img.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := img.Y[y*img.YStride+r.Min.X : y*img.YStride+r.Max.X]
		for i := range row {
			row[i] = luma
		}
	}
	for y := r.Min.Y / 2; y < (r.Max.Y+1)/2; y++ {
		for _, plane := range [][]byte{img.Cb, img.Cr} {
			row := plane[y*img.CStride+r.Min.X/2 : y*img.CStride+(r.Max.X+1)/2]
			for i := range row {
				row[i] = 128
			}
		}
	}
}

// write writes text, white on black, each pixel of the font scale pixels wide.
func write(img *image.YCbCr, text string, x, y, scale int) {
	face := basicfont.Face7x13
	mask := image.NewAlpha(image.Rect(0, 0, 7*len(text), 13))
	d := font.Drawer{Dst: mask, Src: image.White, Face: face, Dot: fixed.P(0, 11)}
	d.DrawString(text)
	fill(img, image.Rect(x, y, x+mask.Rect.Dx()*scale, y+13*scale), 16)
	for my := range 13 {
		for mx := range mask.Rect.Dx() {
			if mask.AlphaAt(mx, my).A > 127 {
				fill(img, image.Rect(x+mx*scale, y+my*scale, x+(mx+1)*scale, y+(my+1)*scale), 235)
			}
		}
	}
}
