package live

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Lines for the news, and how many of them one piece may take.
const (
	newsLines     = 8
	linesPerPiece = 2
)

const (
	labelColumn = 12
	dotsColumn  = 26
	textColumn  = 40
	minWidth    = 60
	barWidth    = 30
)

// Draw returns a frame as lines of at most width columns. They are always equally many. With plain there are no colours.
func Draw(f Frame, width int, plain bool) []string {
	width = max(width, minWidth)
	var lines []string
	row := func(fill func(l *line)) {
		l := &line{most: width, plain: plain}
		fill(l)
		lines = append(lines, l.text.String())
	}
	blank := func() { lines = append(lines, "") }

	row(func(l *line) { l.addf(bold, " %s", f.Title) })
	blank()
	row(func(l *line) { drawActs(l, f) })
	row(func(l *line) {
		l.add(dim, " load").pad(labelColumn).addf(none, "%.1f requests/s of %s tokens in, %s out", f.Load.RequestsPerSecond, tokens(f.Load.InputTokens), tokens(f.Load.OutputTokens))
		if f.Load.Queued > 0 {
			l.addf(none, "; %d in the prefill queue", f.Load.Queued)
		}
	})
	blank()
	for i, r := range f.Roles {
		row(func(l *line) { drawRole(l, r, roleColours[i]) })
	}
	row(func(l *line) { drawGPUs(l, f) })
	row(func(l *line) {
		l.pad(labelColumn).add(dim, "● ready  ◐ starting  ○ terminating: each of them holds its GPUs")
	})
	blank()
	row(func(l *line) { drawLatency(l, "TTFT", f.TTFT) })
	row(func(l *line) { drawLatency(l, "TPOT", f.TPOT) })
	blank()
	row(func(l *line) {
		l.add(dim, " move").pad(labelColumn)
		if f.Move == "" {
			l.add(dim, "none")
		} else {
			l.add(cyan, f.Move)
		}
	})
	news := latest(f.News, width-labelColumn)
	for i := range newsLines {
		row(func(l *line) {
			if i == 0 {
				l.add(dim, " decisions")
			}
			if i < len(news) {
				l.pad(labelColumn).add(none, news[i])
			}
		})
	}
	return lines
}

// latest are the newest pieces of news that there is room for, whole pieces only, oldest first.
func latest(news []string, width int) []string {
	var lines []string
	for _, piece := range slices.Backward(news) {
		wrapped := wrap(piece, width)
		if len(lines)+len(wrapped) > newsLines {
			break
		}
		lines = append(wrapped, lines...)
	}
	return lines
}

// wrap breaks a text at blanks into lines of at most width columns, the later ones indented; what is left over after the last
// line is for its reader to cut off.
func wrap(text string, width int) []string {
	const indent = "       "
	var lines []string
	for len(lines) < linesPerPiece-1 && utf8.RuneCountInString(text) > width {
		runes := []rune(text)
		at := strings.LastIndex(string(runes[:width+1]), " ")
		if at <= len(indent) {
			break
		}
		lines = append(lines, text[:at])
		text = indent + text[at+1:]
	}
	return append(lines, text)
}

func drawActs(l *line, f Frame) {
	l.addf(none, " %s / %s", clock(f.At), clock(f.Length)).pad(labelColumn + 3)
	for i, name := range f.Acts {
		switch {
		case i < f.Act:
			l.add(dim, name)
		case i == f.Act:
			l.add(bold, "▶ "+name)
			if f.WarmUp {
				l.add(none, " (warm-up)")
			}
		default:
			l.add(none, name)
		}
		if i+1 < len(f.Acts) {
			l.add(dim, " ─ ")
		}
	}
}

func drawRole(l *line, r Role, c colour) {
	l.addf(none, " %s", r.Name).pad(labelColumn).dots(c, r)
	if more := r.Desired - r.Ready - r.Starting; more > 0 {
		l.add(dim, strings.Repeat("·", more))
	}
	l.pad(dotsColumn).addf(none, "%d of %d", r.Ready, r.Desired).pad(textColumn)
	if r.LoadPercent < 0 {
		l.add(dim, "load unknown")
		return
	}
	share := float64(r.LoadPercent) / 100
	l.bar(byShare(share), share, barWidth).addf(none, " load %d %%", r.LoadPercent)
}

func drawGPUs(l *line, f Frame) {
	l.add(none, " GPUs").pad(labelColumn)
	for i, r := range f.Roles {
		l.add(roleColours[i], strings.Repeat("■", r.GPUs))
	}
	l.add(dim, strings.Repeat("□", max(0, f.GPUs.Budget-f.GPUs.Held)))
	c := none
	if f.GPUs.Held > f.GPUs.Budget {
		c = red
	}
	l.pad(dotsColumn).addf(c, "%d of %d", f.GPUs.Held, f.GPUs.Budget).pad(textColumn).addf(dim, "most so far %d", f.GPUs.Peak)
}

func drawLatency(l *line, name string, v Latency) {
	l.addf(none, " %s p%d", name, v.Percentile).pad(labelColumn)
	if !v.Known {
		l.add(dim, "no request in the last 10 s")
		return
	}
	share := v.Ms / v.ObjectiveMs
	l.add(byShare(share), milliseconds(v.Ms)).pad(dotsColumn).addf(none, "of %s", milliseconds(v.ObjectiveMs)).pad(textColumn)
	l.bar(byShare(share), share, barWidth).addf(none, " %.0f %%", 100*share)
}

// clock writes a time as minutes and seconds.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// tokens writes a mean length.
func tokens(n float64) string { return fmt.Sprintf("%.0f", n) }
