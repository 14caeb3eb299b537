"""The rules of threads and Conversations: pure, on frozen values; time and ids are passed in."""
