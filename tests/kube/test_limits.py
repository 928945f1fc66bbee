import asyncio

import pytest
from tests.support.faketransport import now, virtual

from muster.kube.limits import Bucket, Limits, TokenBucket


async def times(bucket: TokenBucket, n: int) -> list[float]:
    done: list[float] = []

    async def one() -> None:
        await bucket.acquire()
        done.append(round(now(), 6))

    await asyncio.gather(*(one() for _ in range(n)))
    return done


@virtual
async def test_burst_then_rate():
    assert await times(TokenBucket(10, 3, clock=now), 6) == [0, 0, 0, 0.1, 0.2, 0.3]


@virtual
async def test_refills_no_further_than_the_burst():
    bucket = TokenBucket(10, 3, clock=now)
    await times(bucket, 3)
    await asyncio.sleep(100)
    assert await times(bucket, 4) == [100, 100, 100, 100.1]


@virtual
async def test_zero_is_unlimited():
    assert await times(TokenBucket(0, 1, clock=now), 1000) == [0.0] * 1000


@virtual
async def test_order_of_arrival():
    bucket = TokenBucket(10, 1, clock=now)
    order: list[int] = []

    async def one(n: int) -> None:
        await bucket.acquire()
        order.append(n)

    await asyncio.gather(*(one(n) for n in range(20)))
    assert order == list(range(20))


@pytest.mark.parametrize("rate", [0, 10])
def test_a_pause_holds_back_those_who_already_wait(rate):
    @virtual
    async def run():
        bucket = TokenBucket(rate, 1, clock=now)
        await bucket.acquire()
        waiting = asyncio.ensure_future(times(bucket, 2))
        bucket.pause(5)
        done = await waiting
        assert done[0] == 5
        assert done[1] <= 5.1

    run()


@virtual
async def test_a_cancelled_waiter_uses_nothing_up():
    bucket = TokenBucket(1, 1, clock=now)
    await bucket.acquire()
    first, second = (asyncio.ensure_future(bucket.acquire()) for _ in range(2))
    await asyncio.sleep(0.5)
    first.cancel()
    await second
    assert now() == 1


@virtual
async def test_buckets_do_not_share():
    limits = Limits({Bucket.PODS: (1, 1)}, clock=now)
    await limits[Bucket.PODS].acquire()
    limits[Bucket.PODS].pause(60)
    await limits[Bucket.COMMITS].acquire()
    await limits[Bucket.LEASE].acquire()
    assert now() == 0


def test_a_bucket_that_lets_nothing_pass_is_refused():
    with pytest.raises(ValueError, match="nothing pass"):
        TokenBucket(5, 0)
