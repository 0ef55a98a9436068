;; The two limits of an optimizer's step, as loops of nothing else: what moving so many bytes costs, and what a square
;; root and a division cost. Addresses are byte offsets; counts are bytes, multiples of 32 and at least 32.
(module
  (import "env" "memory" (memory 1))

  ;; a <- a + b / 2, b <- b + c: reads three arrays and writes two, 20 bytes for each float of an array.
  (func (export "triad") (param $a i32) (param $b i32) (param $c i32) (param $bytes i32)
    (local $end i32) (local $half v128)
    (local.set $half (f32x4.splat (f32.const 0.5)))
    (local.set $end (i32.add (local.get $a) (local.get $bytes)))
    (loop $next
      (v128.store (local.get $a)
        (f32x4.add (v128.load (local.get $a)) (f32x4.mul (v128.load (local.get $b)) (local.get $half))))
      (v128.store offset=16 (local.get $a)
        (f32x4.add (v128.load offset=16 (local.get $a)) (f32x4.mul (v128.load offset=16 (local.get $b)) (local.get $half))))
      (v128.store (local.get $b) (f32x4.add (v128.load (local.get $b)) (v128.load (local.get $c))))
      (v128.store offset=16 (local.get $b) (f32x4.add (v128.load offset=16 (local.get $b)) (v128.load offset=16 (local.get $c))))
      (local.set $a (i32.add (local.get $a) (i32.const 32)))
      (local.set $b (i32.add (local.get $b) (i32.const 32)))
      (local.set $c (i32.add (local.get $c) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $a) (local.get $end)))))

  ;; Of each float of an array: one divided by its root. Returns something that depends on all of them.
  (func (export "divider") (param $a i32) (param $bytes i32) (result f32)
    (local $end i32) (local $one v128) (local $low v128) (local $high v128)
    (local.set $one (f32x4.splat (f32.const 1)))
    (local.set $end (i32.add (local.get $a) (local.get $bytes)))
    (loop $next
      (local.set $low (v128.xor (local.get $low) (f32x4.div (local.get $one) (f32x4.sqrt (v128.load (local.get $a))))))
      (local.set $high (v128.xor (local.get $high) (f32x4.div (local.get $one) (f32x4.sqrt (v128.load offset=16 (local.get $a))))))
      (local.set $a (i32.add (local.get $a) (i32.const 32)))
      (br_if $next (i32.lt_u (local.get $a) (local.get $end))))
    (f32x4.extract_lane 0 (v128.xor (local.get $low) (local.get $high)))))
