package journal

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// BenchmarkRequest writes an intent and an outcome per request, and beside it
// the same bytes with bare writes, whose rate over ours is the metric "x_bare":
// what numbering, encoding, checksums and waiting cost. The comparison with
// other stores is bench/journal, a module of its own.
func BenchmarkRequest(b *testing.B) {
	for _, writers := range []int{1, 64} {
		for _, durability := range []string{Crash, Disk} {
			b.Run(durability+map[int]string{1: "/1-writer", 64: "/64-writers"}[writers], func(b *testing.B) {
				j, _, err := Open(filepath.Join(b.TempDir(), "journal"), Options{Node: "bench", Durability: durability})
				if err != nil {
					b.Fatal(err)
				}
				defer j.Close()
				start := time.Now()
				var wg sync.WaitGroup
				for w := range writers {
					wg.Go(func() {
						for n := w; n < b.N; n += writers {
							seq, err := j.Intent(b.Context(), intent(n))
							if err == nil {
								_, err = j.Outcome(b.Context(), outcome(seq, n))
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				took := time.Since(start)
				b.StopTimer()
				bytes := int(j.State().SegmentBytes) / (2 * b.N)
				b.ReportMetric(float64(took)/float64(bareWrites(b, writers, bytes, durability == Disk)), "x_bare")
			})
		}
	}
}

// bareWrites writes as many records with as many writers, each with a write of
// its own, and syncs after every second one if disk is set.
func bareWrites(b *testing.B, writers, bytes int, disk bool) time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, max(bytes, 1))
	var mu sync.Mutex
	var end int64
	start := time.Now()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for n := w; n < b.N; n += writers {
				mu.Lock()
				for range 2 {
					if _, err := f.WriteAt(buf, end); err != nil {
						b.Error(err)
					}
					end += int64(len(buf))
				}
				if disk {
					if err := syncData(f); err != nil {
						b.Error(err)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// BenchmarkRead reads records from the page cache.
func BenchmarkRead(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "journal")
	j, _, err := Open(dir, Options{Node: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	for n := range 20_000 {
		if _, err := j.Intent(b.Context(), intent(n)); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(j.State().SegmentBytes)
	for b.Loop() {
		n := 0
		for _, err := range Read(dir, 1) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 20_000 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
