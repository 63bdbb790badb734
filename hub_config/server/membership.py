"""Who was taken off the lists of hub.toml loses what the Hub's database still gives them.

JupyterHub adds listed people to their groups when it starts and never takes anybody out. A former
assistant would keep grading, and a browser that is logged in would stay so.
"""

from __future__ import annotations

from jupyterhub import orm
from jupyterhub.utils import new_token
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hub_config.errors import HubError
from hub_config.server.settings import People

GROUPS = ("instructors", "assistants", "students")


def drop_unlisted(url: str, people: People) -> list[str]:
    """Bring groups in line with `people` and end the logins of everybody else. Returns what was done.

    Runs while the Hub does not. Raises HubError.
    """
    try:
        engine = create_engine(url)
        try:
            if not inspect(engine).has_table(orm.User.__tablename__):
                return []  # the first start
            with Session(engine) as database:
                done = _leave_groups(database, people) + _log_out(database, people)
                database.commit()
                return done
        finally:
            engine.dispose()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise HubError(
            f"the Hub's database cannot be used ({reason}). Is PostgreSQL running? After an update of "
            "JupyterHub, run jupyterhub upgrade-db as the README says"
        ) from error


def _leave_groups(database: Session, people: People) -> list[str]:
    done = []
    for name in GROUPS:
        group = orm.Group.find(database, name)
        for user in list(group.users) if group else []:
            if user.name not in getattr(people, name):
                group.users.remove(user)
                done.append(f"{user.name} is no longer in the group {name}")
    return done


def _log_out(database: Session, people: People) -> list[str]:
    listed = {name for group in GROUPS for name in getattr(people, group)}
    done = []
    for user in database.query(orm.User).filter(orm.User.name.not_in(listed)):
        if user.api_tokens or user.roles:
            done.append(f"{user.name} is no longer listed: logged out")
        for token in list(user.api_tokens):
            database.delete(token)
        user.roles = []
        user.admin = False
        user.cookie_id = new_token()  # what the login cookie names
    return done
