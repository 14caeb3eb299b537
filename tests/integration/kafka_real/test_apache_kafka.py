"""The launcher itself: data and address survive a crash of the broker."""

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.servers.apache_kafka import Cluster


async def test_acknowledged_records_survive_a_kill(real_kafka: Cluster) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=real_kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("launcher.kill", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(
        bootstrap_servers=real_kafka.bootstrap, enable_idempotence=True, acks="all"
    ) as producer:
        sent = [await producer.send("launcher.kill", str(n).encode()) for n in range(50)]
        for future in sent:
            await future

    real_kafka.kill()
    real_kafka.start()

    async with AIOKafkaConsumer(
        "launcher.kill", bootstrap_servers=real_kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        read = [(await consumer.getone()).value for _ in range(50)]
    assert read == [str(n).encode() for n in range(50)]
